"""What callers see when a backend misbehaves: the right code, none of its words, and a service that goes on."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Final, NamedTuple

import pytest

from gateway.transport import TransportSettings
from tests.unit.backends.service_client import (
    GOOD,
    IMPATIENT,
    INVALID,
    MISCONFIGURED,
    PATIENT,
    UNAVAILABLE,
    UNKNOWN,
    WORDS,
    Build,
    Expected,
    app,
    ask,
    check,
    goes_on,
    is_write,
    said,
)
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

pytestmark = pytest.mark.loopback


class Bad(NamedTuple):
    """What a server plays, what a read then meets, and a write whose reply it is."""

    script: Script
    read: Expected
    write: Expected = UNKNOWN


BAD: Final = {
    "HTML": Bad(said(WORDS.encode()), INVALID),
    "empty": Bad(said(b""), INVALID),
    "truncated JSON": Bad(said(b'{"result": true, "modules": [{"module_id'), INVALID),
    "null": Bad(said(b"null"), INVALID),
    "a list": Bad(said(b"[]"), INVALID),
    "an empty object": Bad(said(b"{}"), INVALID),
    "a text": Bad(said(b'"UPSTREAM WORDS"'), INVALID),
    "nested too deeply": Bad(said(b'{"a":' * 50_000), INVALID),
    "a short body": Bad([reply(b"{", length=50)], INVALID),
    "a gibibyte": Bad(lambda: chain([reply(b"", length=2**30)], repeat(b" " * 2**20)), INVALID),
    "a drip": Bad(lambda: chain([reply(b"", length=500)], *repeat((b" ", 0.02), 500)), (504, "backend_timeout")),
    "a reset": Bad([Step.RESET], UNAVAILABLE),
    "a reset in the body": Bad([reply(b"{", length=50), Step.RESET], UNAVAILABLE),
    "a redirect": Bad([reply(b"", "Location: /login", status="302 Found"), Step.KEEP], MISCONFIGURED),
    "500 HTML": Bad([reply(WORDS.encode(), status="500 Oops"), Step.KEEP], UNAVAILABLE),
    "502 HTML": Bad([reply(WORDS.encode(), status="502 Bad Gateway"), Step.KEEP], UNAVAILABLE),
    "404 HTML": Bad([reply(WORDS.encode(), status="404 Not Found"), Step.KEEP], MISCONFIGURED, MISCONFIGURED),
}
#: Which requests of an operation are reads before its write; a good reply stands in for them.
READS_BEFORE: Final = {
    ("cmdb", "create"): 0,
    ("cmdb", "patch"): 0,
    ("cmdb", "delete"): 1,
    ("projectman", "create"): 0,
    ("projectman", "patch"): 1,
    ("projectman", "delete"): 1,
}
#: A success that says nothing is how ProjectMan confirms a deletion.
WRITES: Final = [
    (backend, operation, name)
    for backend, operation in READS_BEFORE
    for name in BAD
    if not (backend == "projectman" and operation == "delete" and name in {"empty", "an empty object"})
]


def limits_for(name: str) -> TransportSettings:
    return IMPATIENT if name == "a drip" else PATIENT


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("operation", ["get", "list"])
@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
def test_a_read_says_what_went_wrong(build: Build, backend: str, operation: str, name: str) -> None:
    """A reply that makes no sense is a 502, silence a 504, a broken connection or a 5xx a 503."""
    with RawServer(BAD[name].script) as server:
        service = app(build, server.url, limits_for(name))
        check(ask(service, backend, operation), BAD[name].read, None)
        goes_on(service, server, backend)


@pytest.mark.parametrize(("backend", "operation", "name"), WRITES)
def test_a_write_is_unknown_unless_it_was_provably_refused(
    build: Build, backend: str, operation: str, name: str
) -> None:
    """Whatever a write is answered with that is no refusal, it may have been applied; it went out once."""
    before = READS_BEFORE[backend, operation]
    expected = BAD[name].write
    if backend == "projectman" and name == "404 HTML" and operation != "create":
        expected = (502, "backend_error")  # the module may be gone: the list is asked, and says 404 too
    with RawServer(*[GOOD[backend]] * before, BAD[name].script) as server:
        service = app(build, server.url, limits_for(name))
        check(ask(service, backend, operation), expected, "unknown" if expected == UNKNOWN else "not_applied")
        writes = [request for request in server.requests if is_write(request)]
        assert len(writes) == 1
        goes_on(service, server, backend)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(("backend", "operation"), [key for key, reads in READS_BEFORE.items() if reads])
def test_a_read_that_fails_before_the_write_proves_that_nothing_was_applied(
    build: Build, backend: str, operation: str, name: str
) -> None:
    """504 is kept for what may have been applied: a write that did not go out is a 503, or the operator's 502."""
    with RawServer(BAD[name].script) as server:
        service = app(build, server.url, limits_for(name))
        expected = BAD[name].read if BAD[name].read == MISCONFIGURED else UNAVAILABLE
        check(ask(service, backend, operation), expected, "not_applied")
        assert not any(is_write(request) for request in server.requests)
        goes_on(service, server, backend)
