"""A client of the whole service over a scripted backend, and checks of the service's responses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from flask import Flask
from werkzeug.test import TestResponse

from gateway.app import SystemClock
from gateway.domain.backend import Backend
from gateway.transport import TransportSettings
from tests.unit.backends.connections import (
    CMDB_MODULE,
    OWNER,
    PM_NODE,
    PROJECT,
    create_backends,
    list_response,
    search_response,
)
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

Build = Callable[[Mapping[str, Backend]], Flask]
Expected = tuple[int, str]
HTML: Final = "<html>UPSTREAM WORDS at /opt/secret.py</html>"
UNKNOWN: Final = (504, "outcome_unknown")
INVALID: Final = (502, "backend_reply_invalid")
UNAVAILABLE: Final = (503, "backend_unavailable")
MISCONFIGURED: Final = (502, "backend_misconfigured")
DEFAULT_LIMITS: Final = TransportSettings(hard_timeout_seconds=5.0, max_reply_bytes=200_000)


#: For scripts that would exceed a timeout.
SHORT_TIMEOUT: Final = TransportSettings(hard_timeout_seconds=0.3, max_reply_bytes=200_000)


def respond_with(body: bytes) -> Script:
    return [reply(body), Step.KEEP]


ID: Final = {"cmdb": "cmdb.1.10.37825", "projectman": f"projectman.{PROJECT}.46691"}
SCOPE: Final = {"cmdb": "1", "projectman": PROJECT}
DRAFT: Final[dict[str, dict[str, Any]]] = {
    "cmdb": {"backend": "cmdb", "scope": "1", "parent": "10", "name": "test"},
    "projectman": {"backend": "projectman", "scope": PROJECT, "name": "demo", "owners": [OWNER]},
}
VALID: Final = {"cmdb": respond_with(search_response(CMDB_MODULE)), "projectman": respond_with(list_response(PM_NODE))}


def app(build: Build, url: str, limits: TransportSettings = DEFAULT_LIMITS) -> Flask:
    return build(create_backends(SystemClock(), url, limits))


def send(service: Flask, backend: str, operation: str) -> TestResponse:
    client = service.test_client()
    if operation == "create":
        return client.post("/modules", json=DRAFT[backend])
    if operation == "list":
        return client.get("/modules", query_string={"backend": backend, "scope": SCOPE[backend]})
    if operation == "patch":
        changes = {"name": "other"} | ({"description": "d"} if backend == "projectman" else {})
        return client.patch(f"/modules/{ID[backend]}", json=changes)
    return client.open(f"/modules/{ID[backend]}", method=operation.upper())


def check(response: TestResponse, expected: Expected, outcome: str | None) -> None:
    problem = json.loads(response.data)
    assert (response.status_code, problem["code"]) == expected
    assert response.content_type == "application/problem+json"
    assert response.headers.get("Gateway-Outcome") == outcome
    assert not any(text in response.text for text in ("UPSTREAM", "html", "Traceback", "/opt", "127.0.0.1"))


def check_still_works(service: Flask, server: RawServer, backend: str) -> None:
    server.scripts = [VALID[backend]]
    assert send(service, backend, "get").status_code == 200


def is_write(request: bytes) -> bool:
    method, path, _ = request.split(b" ", 2)
    return method in {b"PUT", b"DELETE"} or path.endswith(
        (b"/create_module/", b"/update_module/", b"/delete_module/", b"/module")
    )
