"""The whole service over a backend that plays what it is told, and how callers are answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from flask import Flask
from werkzeug.test import TestResponse

from gateway.app import SystemClock
from gateway.backends import cmdb, projectman
from gateway.domain.backend import Backend
from gateway.transport import TransportSettings
from tests.unit.backends.connections import (
    CMDB_MODULE,
    OWNER,
    PM_NODE,
    PROJECT,
    cmdb_options,
    found,
    projectman_options,
    tree,
)
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

Build = Callable[[Mapping[str, Backend]], Flask]


Expected = tuple[int, str]


WORDS: Final = "<html>UPSTREAM WORDS at /opt/secret.py</html>"


UNKNOWN: Final = (504, "outcome_unknown")


INVALID: Final = (502, "backend_reply_invalid")


UNAVAILABLE: Final = (503, "backend_unavailable")


MISCONFIGURED: Final = (502, "backend_misconfigured")


PATIENT: Final = TransportSettings(hard_timeout_seconds=5.0, max_reply_bytes=200_000)


#: For what would take long.
IMPATIENT: Final = TransportSettings(hard_timeout_seconds=0.3, max_reply_bytes=200_000)


def said(body: bytes) -> Script:
    return [reply(body), Step.KEEP]


ID: Final = {"cmdb": "cmdb.1.10.37825", "projectman": f"projectman.{PROJECT}.46691"}


SCOPE: Final = {"cmdb": "1", "projectman": PROJECT}


DRAFT: Final[dict[str, dict[str, Any]]] = {
    "cmdb": {"backend": "cmdb", "scope": "1", "parent": "10", "name": "test"},
    "projectman": {"backend": "projectman", "scope": PROJECT, "name": "demo", "owners": [OWNER]},
}


GOOD: Final = {"cmdb": said(found(CMDB_MODULE)), "projectman": said(tree(PM_NODE))}


def app(build: Build, url: str, limits: TransportSettings = PATIENT) -> Flask:
    clock = SystemClock()
    return build(
        {
            "cmdb": cmdb.create_backend("cmdb", cmdb_options(url, limits=limits), clock),
            "projectman": projectman.create_backend("projectman", projectman_options(url, limits=limits), clock),
        }
    )


def ask(service: Flask, backend: str, operation: str) -> TestResponse:
    client = service.test_client()
    if operation == "create":
        return client.post("/modules", json=DRAFT[backend])
    if operation == "list":
        return client.get("/modules", query_string={"backend": backend, "scope": SCOPE[backend]})
    if operation == "patch":
        changes = {"name": "other"} | ({"description": "d"} if backend == "projectman" else {})
        return client.patch(f"/modules/{ID[backend]}", json=changes)
    return client.open(f"/modules/{ID[backend]}", method=operation.upper())


def check(answer: TestResponse, expected: Expected, outcome: str | None) -> None:
    told = json.loads(answer.data)
    assert (answer.status_code, told["code"]) == expected
    assert answer.content_type == "application/problem+json"
    assert answer.headers.get("Gateway-Outcome") == outcome
    assert not any(word in answer.text for word in ("UPSTREAM", "html", "Traceback", "/opt", "127.0.0.1"))


def goes_on(service: Flask, server: RawServer, backend: str) -> None:
    server.scripts = [GOOD[backend]]
    assert ask(service, backend, "get").status_code == 200


def is_write(request: bytes) -> bool:
    method, path, _ = request.split(b" ", 2)
    return method in {b"PUT", b"DELETE"} or path.endswith(
        (b"/create_module/", b"/update_module/", b"/delete_module/", b"/module")
    )
