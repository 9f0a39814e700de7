"""Fetching a public document."""

from __future__ import annotations

import pytest

from gateway.app import SystemClock
from gateway.domain.errors import BackendReplyInvalid
from gateway.transport import json_fetcher
from tests.unit.transport.rawserver import RawServer, Step, reply

pytestmark = pytest.mark.loopback


def test_a_document_is_fetched_whenever_it_is_asked_for() -> None:
    """Nothing is kept here."""
    with RawServer([reply(b'{"keys": []}'), Step.KEEP], [reply(b'{"keys": [1]}')]) as server:
        fetch = json_fetcher(f"{server.url}/keys", None, SystemClock())
        assert [fetch(), fetch()] == [{"keys": []}, {"keys": [1]}]
    assert server.requests[0].startswith(b"GET /keys HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "answer", [reply(b"<html>"), reply(b"null"), reply(b'{"keys": []}', status="404 Not Found"), reply(b" " * 300_000)]
)
def test_what_is_no_document_is_an_error(answer: bytes) -> None:
    """HTML, nothing, a page for a missing one, and more than such a document has."""
    with RawServer([answer]) as server, pytest.raises(BackendReplyInvalid):
        json_fetcher(server.url, None, SystemClock())()
