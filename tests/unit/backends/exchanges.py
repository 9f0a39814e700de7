"""Exchanges: a response is returned only to a request with exactly this method, URL, headers and body."""

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
    """A request and its response; `body` and `response` are JSON unless they are bytes or None."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Any = None
    response: Any = None
    status: int = 200
    response_headers: Mapping[str, str] = field(default_factory=dict)

    def register(self, wire: responses.RequestsMock) -> None:
        response = self.response if isinstance(self.response, bytes) else json.dumps(self.response).encode()
        wire.add(
            self.method,
            self.url,
            body=b"" if self.response is None else response,
            status=self.status,
            headers=dict(self.response_headers),
            match=[self._matches_headers, self._matches_body],
        )

    def _matches_headers(self, request: PreparedRequest) -> tuple[bool, str]:
        sent = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        expected = {**self.headers, "Accept-Encoding": "identity", "User-Agent": "module-gateway"}
        return sent == expected, f"headers {sent} are not {expected}"

    def _matches_body(self, request: PreparedRequest) -> tuple[bool, str]:
        sent = None if request.body is None else json.loads(request.body)
        return sent == self.body, f"body {sent} is not {self.body}"
