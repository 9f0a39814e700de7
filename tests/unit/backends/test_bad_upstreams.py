"""Responses to callers when a backend misbehaves: the right code, none of its text, and a service that still works."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import chain, repeat
from typing import Any, Final, NamedTuple

import pytest
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
    envelope,
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


pytestmark = pytest.mark.loopback

REFUSED: Final = (502, "backend_error")


class BadResponse(NamedTuple):
    """A server's script, and the response to a read; a write that it interrupts is unknown."""

    script: Script
    read: Expected


BAD_RESPONSES: Final = {
    "HTML": BadResponse(respond_with(HTML.encode()), INVALID),
    "empty": BadResponse(respond_with(b""), INVALID),
    "truncated JSON": BadResponse(respond_with(b'{"result": true, "modules": [{"module_id'), INVALID),
    "null": BadResponse(respond_with(b"null"), INVALID),
    "a list": BadResponse(respond_with(b"[]"), INVALID),
    "an empty object": BadResponse(respond_with(b"{}"), INVALID),
    "a text": BadResponse(respond_with(b'"UPSTREAM WORDS"'), INVALID),
    "nested too deeply": BadResponse(respond_with(b'{"a":' * 50_000), INVALID),
    "a short body": BadResponse([reply(b"{", length=50)], INVALID),
    "a gibibyte": BadResponse(lambda: chain([reply(b"", length=2**30)], repeat(b" " * 2**20)), INVALID),
    "a slow body": BadResponse(
        lambda: chain([reply(b"", length=500)], *repeat((b" ", 0.02), 500)), (504, "backend_timeout")
    ),
    "a reset": BadResponse([Step.RESET], UNAVAILABLE),
    "a reset in the body": BadResponse([reply(b"{", length=50), Step.RESET], UNAVAILABLE),
    "a redirect": BadResponse([reply(b"", "Location: /login", status="302 Found"), Step.KEEP], MISCONFIGURED),
    "500 HTML": BadResponse([reply(HTML.encode(), status="500 Oops"), Step.KEEP], UNAVAILABLE),
    "502 HTML": BadResponse([reply(HTML.encode(), status="502 Bad Gateway"), Step.KEEP], UNAVAILABLE),
    "404 HTML": BadResponse([reply(HTML.encode(), status="404 Not Found"), Step.KEEP], MISCONFIGURED),
    "400 HTML": BadResponse([reply(HTML.encode(), status="400 Bad Request"), Step.KEEP], REFUSED),
    "a bare 499": BadResponse([reply(b"", status="499 "), Step.KEEP], REFUSED),
    "a bare 460": BadResponse([reply(b"", status="460 "), Step.KEEP], REFUSED),
    "a bare 408": BadResponse([reply(b"", status="408 Request Timeout"), Step.KEEP], UNAVAILABLE),
    "another dialect": BadResponse(
        [reply(b'{"code": 403, "message": "UPSTREAM WORDS"}', status="403 Forbidden"), Step.KEEP],
        (403, "backend_permission_denied"),
    ),
    "a switch of protocols": BadResponse([reply(b"", status="101 Switching Protocols"), Step.KEEP], INVALID),
    "a bare 100": BadResponse([reply(b"", status="100 Continue"), Step.RESET], UNAVAILABLE),
}
REFUSED_READS: Final = frozenset({MISCONFIGURED, REFUSED, (403, "backend_permission_denied")})
#: How many reads an operation sends before its write; these get a valid response.
READS_BEFORE: Final = {
    ("cmdb", "create"): 0,
    ("cmdb", "patch"): 0,
    ("cmdb", "delete"): 1,
    ("projectman", "create"): 0,
    ("projectman", "patch"): 1,
    ("projectman", "delete"): 1,
}
#: An empty success is ProjectMan's confirmation of a deletion.
WRITES: Final = [
    (backend, operation, name)
    for backend, operation in READS_BEFORE
    for name in BAD_RESPONSES
    if not (backend == "projectman" and operation == "delete" and name in {"empty", "an empty object"})
]


def limits_for(name: str) -> TransportSettings:
    return SHORT_TIMEOUT if name == "a slow body" else DEFAULT_LIMITS


@pytest.mark.parametrize("name", BAD_RESPONSES)
@pytest.mark.parametrize("operation", ["get", "list"])
@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
def test_a_read_reports_the_cause(build: Build, backend: str, operation: str, name: str) -> None:
    """An invalid response gives 502, a timeout 504, a broken connection or a 5xx 503."""
    with RawServer(BAD_RESPONSES[name].script) as server:
        service = app(build, server.url, limits_for(name))
        check(send(service, backend, operation), BAD_RESPONSES[name].read, None)
        check_still_works(service, server, backend)


@pytest.mark.parametrize(("backend", "operation", "name"), WRITES)
def test_a_write_is_unknown(build: Build, backend: str, operation: str, name: str) -> None:
    """Only a code of the backend's own is a refusal: any of these may follow a commit; the write is sent once."""
    before = READS_BEFORE[backend, operation]
    with RawServer(*[VALID[backend]] * before, BAD_RESPONSES[name].script) as server:
        service = app(build, server.url, limits_for(name))
        check(send(service, backend, operation), UNKNOWN, "unknown")
        writes = [request for request in server.requests if is_write(request)]
        assert len(writes) == 1
        check_still_works(service, server, backend)


@pytest.mark.parametrize("name", BAD_RESPONSES)
@pytest.mark.parametrize(("backend", "operation"), [key for key, reads in READS_BEFORE.items() if reads])
def test_a_read_that_fails_before_the_write_proves_that_nothing_was_applied(
    build: Build, backend: str, operation: str, name: str
) -> None:
    """A write that was not sent gives 503, or the refusal of the read; 504 means it may have been applied."""
    with RawServer(BAD_RESPONSES[name].script) as server:
        service = app(build, server.url, limits_for(name))
        expected = BAD_RESPONSES[name].read if BAD_RESPONSES[name].read in REFUSED_READS else UNAVAILABLE
        check(send(service, backend, operation), expected, "not_applied")
        assert not any(is_write(request) for request in server.requests)
        check_still_works(service, server, backend)


def variants(valid: dict[str, Any], wrong: dict[str, list[Any]]) -> list[Any]:
    """Return the module with one wrong value at a time, and values that are not modules."""
    variants: list[Any] = [{**valid, key: value} for key, values in wrong.items() for value in values]
    return [*variants, None, [], "UPSTREAM WORDS", 7]


_CMDB_WRONG: Final = variants(
    CMDB_MODULE,
    {
        "bk_module_id": ["x", "37825", -1, 0, None, True, 1.5, 2**63, [1], {}],
        "bk_module_name": [["test"], None, 7, {}, True],
        "operator": [["admin"], 7, {}],
        "default": ["0", None, []],
        "bk_set_id": ["10", None, -10],
    },
)
_PM_WRONG: Final = variants(
    PM_NODE,
    {
        "module_id": ["x", -1, 0, None, True, 1.5, 2**63, [1], {}],
        "module_name": [["demo"], None, 7, {}, True],
        "owner": [[OWNER], 7, OWNER, {"user_id": [1]}],
        "deepth": ["deep", []],
    },
)


@pytest.mark.parametrize(
    ("backend", "body"),
    [
        *(("cmdb", search_response(wrong)) for wrong in _CMDB_WRONG),
        *(("projectman", list_response(wrong)) for wrong in _PM_WRONG),
    ],
)
def test_a_wrong_type_in_a_list_is_an_invalid_response(build: Build, backend: str, body: bytes) -> None:
    """One invalid row makes the response invalid; it does not become a 500."""
    with RawServer(respond_with(body)) as server:
        service = app(build, server.url)
        check(send(service, backend, "list"), INVALID, None)
        check_still_works(service, server, backend)


@pytest.mark.parametrize(
    ("backend", "body"),
    [
        *(
            ("cmdb", envelope(wrong))
            for wrong in _CMDB_WRONG
            if not isinstance(wrong, dict) or wrong.get("bk_module_name") is not None
        ),
        *(("projectman", json.dumps(wrong).encode()) for wrong in _PM_WRONG),
    ],
)
def test_a_wrong_type_in_the_response_to_a_create_is_unknown(build: Build, backend: str, body: bytes) -> None:
    """The module probably exists, but its id is unknown."""
    with RawServer(respond_with(body)) as server:
        service = app(build, server.url)
        check(send(service, backend, "create"), UNKNOWN, "unknown")
        check_still_works(service, server, backend)
