"""A backend's own account of a failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a backend said when it said no. Its `message` goes to the log and nowhere else."""

    backend: str
    operation: str  # create, list, get, update, delete: what the adapter was doing
    writes: bool  # may this call have changed something?
    status: int
    code: str | None = None
    token: str | None = None  # a language-independent word out of the message, where the facts name one
    message: str = ""
    request_id: str | None = None
    retry_after: float | None = None  # seconds
    permission: Mapping[str, Any] | None = None

    def keys(self) -> Iterator[str]:
        """Yield the table keys that fit, the most telling first: by code, then by status, then the rest."""
        if self.code is not None:
            if self.token is not None:
                yield f"{self.code}:{self.token}"
            yield f"{self.operation}:{self.code}"
            yield f"{self.code}@{self.status}"
            yield self.code
        yield f"{self.operation}:@{self.status}"
        yield f"@{self.status}"
        yield f"@{self.status // 100}xx"
        yield "@"
