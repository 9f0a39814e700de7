"""Responses to callers when a backend misbehaves: the right code, none of its text, and a service that still works."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Final, NamedTuple

import pytest

from gateway.transport import TransportSettings
from tests.unit.backends.service_client import (
    DEFAULT_LIMITS,
    HTML,
    INVALID,
    MISCONFIGURED,
    SHORT_TIMEOUT,
    UNAVAILABLE,
    UNKNOWN,
    VALID,
    Build,
    Expected,
    app,
    check,
    check_still_works,
    is_write,
    respond_with,
    send,
)
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

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
