"""A caller that follows the contract: it repeats the request, at any replica, until the response is final."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

from tests.integration.chaos.testbed import TARGETS
from tests.integration.http_client import CONNECTION_ERRORS, HttpResponse, send

_TIMEOUT: Final = 75.0
_RETRY_DELAY: Final = 0.2
#: The status of a request without a response.
CONNECTION_ERROR: Final = 0
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


def is_final(response: HttpResponse) -> bool:
    """Return whether a repetition would be of no use."""
    return response.status != CONNECTION_ERROR and response.code not in _RETRYABLE


def create(addresses: Sequence[str], spec: CreateSpec) -> list[HttpResponse]:
    """Send a create to one replica after the other until the response is final, and once more after that."""
    responses: list[HttpResponse] = []
    deadline = time.monotonic() + _TIMEOUT
    for address in cycle(addresses):
        try:
            responses.append(spec.send(address))
        except CONNECTION_ERRORS:
            responses.append(HttpResponse(status=CONNECTION_ERROR, headers={}, body=None))
        if sum(map(is_final, responses)) > 1 or time.monotonic() > deadline:
            break
        time.sleep(_RETRY_DELAY)
    return responses
