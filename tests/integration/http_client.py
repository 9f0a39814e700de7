"""Sends one HTTP request, on a new connection or on a given one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

from requests.structures import CaseInsensitiveDict

#: Raised when the server process dies during a request.
CONNECTION_ERRORS = (OSError, HTTPException)


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """A response and the time of its arrival; a body that is not JSON is text, as a proxy sends it."""

    status: int
    headers: Mapping[str, str]
    body: Any
    received_at: float = field(default_factory=time.time)

    @property
    def code(self) -> str:
        """The code of a problem document, else ""."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def outcome(self) -> str | None:
        """The outcome of a write."""
        return self.headers.get("Gateway-Outcome")


def exchange(
    connection: HTTPConnection, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Send a request on this connection, `body` as JSON unless it is bytes; raises CONNECTION_ERRORS."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body)
    connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    try:
        parsed = json.loads(text) if text else None
    except ValueError:
        parsed = text
    return HttpResponse(status=response.status, headers=CaseInsensitiveDict(response.getheaders()), body=parsed)


def send(
    address: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Send a request to HOST:PORT; raises CONNECTION_ERRORS."""
    with closing(HTTPConnection(address, timeout=30)) as connection:
        return exchange(connection, method, path, body, headers)
