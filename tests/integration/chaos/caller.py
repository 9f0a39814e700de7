"""A caller that follows the contract: it repeats the request, at any replica, until the response is final."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

from tests.integration.chaos.testbed import TARGETS
from tests.integration.http_client import CONNECTION_ERRORS, HttpResponse, send

_TIMEOUT: Final = 75.0
_RETRY_DELAY: Final = 0.2
#: The caller repeats the request after these codes, and after a connection error.
_RETRYABLE: Final = frozenset(
    {"create_in_progress", "outcome_unknown", "backend_unavailable", "draining", "journal_unavailable"}
)


@dataclass(frozen=True)
class CreateSpec:
    """One create; its repetitions are identified by `key` or by `request-id` alone."""

    backend: str
    name: str
    by: str = "key"

    @property
    def body(self) -> dict[str, Any]:
        """Return the request body."""
        return {"backend": self.backend, "name": self.name, **TARGETS[self.backend]}

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the header that identifies repetitions."""
        return {"Idempotency-Key" if self.by == "key" else "X-Request-Id": f"again-{self.backend}-{self.name}"}


@dataclass
class CreateHistory:
    """The responses to one create and its repetitions."""

    spec: CreateSpec
    responses: list[HttpResponse] = field(default_factory=list)
    connection_errors: int = 0

    @property
    def final(self) -> HttpResponse | None:
        """Return the last response if it is final."""
        return self.responses[-1] if self.responses and is_final(self.responses[-1]) else None

    @property
    def retries(self) -> int:
        """Return the number of repetitions before the first final response."""
        return len(self.responses) + self.connection_errors - (2 if self.final else 1)


def is_final(response: HttpResponse) -> bool:
    """Return whether a repetition would be of no use."""
    return response.code not in _RETRYABLE


def create(addresses: Sequence[str], spec: CreateSpec) -> CreateHistory:
    """Send a create to one replica after the other until the response is final, and once more after that."""
    history = CreateHistory(spec)
    deadline = time.monotonic() + _TIMEOUT
    for address in cycle(addresses):
        try:
            history.responses.append(send(address, "POST", "/modules", spec.body, spec.headers))
        except CONNECTION_ERRORS:
            history.connection_errors += 1
        finals = sum(is_final(response) for response in history.responses)
        if finals > 1 or time.monotonic() > deadline:
            return history
        time.sleep(_RETRY_DELAY)
    return history
