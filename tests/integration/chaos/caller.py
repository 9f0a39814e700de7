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
        return {"backend": self.backend, "name": self.name, **TARGETS[self.backend]}

    def send(self, address: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """Send the create once, with these headers instead of the one that identifies repetitions."""
        own = {"Idempotency-Key" if self.by == "key" else "X-Request-Id": f"again-{self.backend}-{self.name}"}
        return send(address, "POST", "/modules", self.body, own if headers is None else headers)


@dataclass
class CreateHistory:
    """The responses to one create and its repetitions."""

    spec: CreateSpec
    responses: list[HttpResponse] = field(default_factory=list)
    connection_errors: int = 0

    @property
    def final(self) -> HttpResponse | None:
        """The last response, if a repetition would be of no use."""
        return next((response for response in self.responses[-1:] if response.code not in _RETRYABLE), None)


def create(addresses: Sequence[str], spec: CreateSpec) -> CreateHistory:
    """Send a create to one replica after the other until the response is final, and once more after that."""
    history = CreateHistory(spec)
    finals = 0
    deadline = time.monotonic() + _TIMEOUT
    for address in cycle(addresses):
        try:
            history.responses.append(spec.send(address))
            finals += history.final is not None
        except CONNECTION_ERRORS:
            history.connection_errors += 1
        if finals > 1 or time.monotonic() > deadline:
            break
        time.sleep(_RETRY_DELAY)
    return history
