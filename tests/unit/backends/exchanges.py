"""Canned exchanges: a reply is played only to a request of exactly this method, address, headers and body."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import responses
from requests import PreparedRequest

Matcher = Callable[[PreparedRequest], tuple[bool, str]]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What is expected and what is answered; `body` and `answer` are JSON unless they are bytes or None."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Any = None
    answer: Any = None
    status: int = 200
    answer_headers: Mapping[str, str] = field(default_factory=dict)

    def play(self, wire: responses.RequestsMock) -> None:
        answer = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        wire.add(
            self.method,
            self.url,
            body=b"" if self.answer is None else answer,
            status=self.status,
            headers=dict(self.answer_headers),
            match=[self._matches_headers, self._matches_body],
        )

    def _matches_headers(self, request: PreparedRequest) -> tuple[bool, str]:
        sent = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        expected = {**self.headers, "Accept-Encoding": "identity", "User-Agent": "module-gateway"}
        return sent == expected, f"headers {sent} are not {expected}"

    def _matches_body(self, request: PreparedRequest) -> tuple[bool, str]:
        sent = None if request.body is None else json.loads(request.body)
        return sent == self.body, f"body {sent} is not {self.body}"
