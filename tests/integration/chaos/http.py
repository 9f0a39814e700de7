"""One exchange over a connection of its own, or over one that is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

#: What a caller sees of a process that dies under his request.
BROKEN = (OSError, HTTPException)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, and when."""

    status: int
    headers: Mapping[str, str]
    body: Any
    at: float

    @property
    def code(self) -> str:
        """The problem's code, empty where it is none."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def outcome(self) -> str | None:
        """What the answer says became of a write."""
        return self.headers.get("Gateway-Outcome")


def exchange(
    connection: HTTPConnection, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Ask once on this connection; raises one of BROKEN."""
    content = None if body is None else json.dumps(body).encode()
    connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
    reply = connection.getresponse()
    told = reply.read()
    return Answer(
        status=reply.status,
        headers=dict(reply.getheaders()),
        body=json.loads(told) if told else None,
        at=time.time(),
    )


def ask(address: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Ask once at HOST:PORT; raises one of BROKEN."""
    with closing(HTTPConnection(address, timeout=15)) as connection:
        return exchange(connection, method, path, body, headers)
