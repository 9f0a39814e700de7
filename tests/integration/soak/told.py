"""What callers are told, and whether that is what they may be told while backends fail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from tests.integration.chaos.http import BROKEN, Answer
from tests.integration.envoy.asking import ask

_FAILURES: Final = frozenset({429, 502, 503, 504})
#: Anything else is a fault of the gateway.
EXPECTED: Final[Mapping[str, frozenset[int]]] = {
    "create": frozenset({201, 202, 409}) | _FAILURES,
    "read": frozenset({200}) | _FAILURES,
    "list": frozenset({200}) | _FAILURES,
    "patch": frozenset({200}) | _FAILURES,
    "delete": frozenset({204, 404}) | _FAILURES,
    "follow": frozenset({200, 503}),
    "malformed": frozenset({400, 406, 413, 415, 422}),
}
_JSON: Final = {"Content-Type": "application/json"}


class Told:
    """Asks for everybody, at the pace of all together, and counts the answers."""

    def __init__(self, address: str, pace: Callable[[], None]) -> None:
        self.address = address
        self.answers: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        self._pace = pace

    def ask(
        self, what: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask once, `body` as JSON or, where it is bytes, as it is."""
        self._pace()
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            answer = ask(self.address, method, path, content, {**_JSON, **(headers or {})})
        except BROKEN as error:
            answer = Answer(status=0, headers={}, body={"code": type(error).__name__}, at=0.0)
        self._count(what, answer)
        return answer

    def _count(self, what: str, answer: Answer) -> None:
        told = f"{what} {answer.status} {answer.code}".strip()
        self.answers[told] += 1
        if answer.status not in EXPECTED[what]:
            self.unexpected[told] += 1
