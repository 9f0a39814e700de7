"""One exchange through the mesh; unlike a gateway, a proxy on the way may answer in plain words."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

from tests.integration.chaos.http import Answer


def exchange(
    connection: HTTPConnection, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Ask once on this connection; a body that is no JSON is told as its text. Header names are in lower case."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, content, {"Content-Type": "application/json", **(headers or {})})
    reply = connection.getresponse()
    told = reply.read()
    return Answer(
        status=reply.status,
        headers={name.lower(): value for name, value in reply.getheaders()},
        body=_read(told),
        at=time.time(),
    )


def ask(address: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Ask once at HOST:PORT."""
    with closing(HTTPConnection(address, timeout=30)) as connection:
        return exchange(connection, method, path, body, headers)


def _read(told: bytes) -> Any:
    try:
        return json.loads(told) if told else None
    except ValueError:
        return told.decode(errors="replace")
