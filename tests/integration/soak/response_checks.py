"""Sends requests, counts the responses and records those that are not allowed while backends fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from tests.integration.http_client import CONNECTION_ERRORS, HttpResponse, send

_FAILURES: Final = frozenset({429, 502, 503, 504})
#: Any other status is a defect of the gateway.
EXPECTED: Final[Mapping[str, frozenset[int]]] = {
    "create": frozenset({201, 202, 409}) | _FAILURES,
    "read": frozenset({200}) | _FAILURES,
    "list": frozenset({200}) | _FAILURES,
    "patch": frozenset({200}) | _FAILURES,
    "delete": frozenset({204, 404}) | _FAILURES,
    "follow": frozenset({200, 503}),
    "malformed": frozenset({400, 406, 413, 415, 422}),
}


class CheckedClient:
    """The client of all callers; a common pacer limits the rate of their requests."""

    def __init__(self, address: str, pacer: Callable[[], None]) -> None:
        self.address = address
        self.responses: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        self._pacer = pacer

    def send(
        self, kind: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Send one request, `body` as JSON unless it is bytes."""
        self._pacer()
        try:
            response = send(self.address, method, path, body, headers)
        except CONNECTION_ERRORS as error:
            response = HttpResponse(status=0, headers={}, body={"code": type(error).__name__}, received_at=0.0)
        self._count(kind, response)
        return response

    def _count(self, kind: str, response: HttpResponse) -> None:
        key = f"{kind} {response.status} {response.code}".strip()
        self.responses[key] += 1
        if response.status not in EXPECTED[kind]:
            self.unexpected[key] += 1
