"""What a fault does to the connection: closed, reset, cut short, slow; the ledger tells what became of the write."""

import json
import time
from http.client import HTTPConnection

import pytest

from tests.twins.faults.stand import ESB, Received, Stand

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(("effect", "written"), [("now", [("a", ["drop"])]), ("never", [])])
def test_a_drop_closes_without_a_byte(stand: Stand, effect: str, written: object) -> None:
    """FIN, no byte; the write is there, or is not, and a read agrees; it was attempted once either way."""
    stand.order({"fault": "drop", "operation": "create", "effect": effect})
    assert stand.create("a") == Received(b"")
    assert stand.written() == written
    assert stand.listed() == [name for name, _ in stand.written()]
    assert stand.attempted() == ["a"]


def test_a_drop_waits_for_the_whole_request(cmdb: Stand) -> None:
    """The client has sent all of it, however large, when the connection is closed: it is no broken pipe."""
    cmdb.order({"fault": "drop", "effect": "never"})
    assert cmdb.send("POST", f"{ESB}/search_module/", {"condition": {"bk_module_name": "a" * 20_000_000}}) == Received(
        b""
    )


@pytest.mark.parametrize(("effect", "written"), [("now", [("a", ["reset"])]), ("never", [])])
def test_a_reset_sends_rst(stand: Stand, effect: str, written: object) -> None:
    """ECONNRESET before the first byte, after the commit or before it."""
    stand.order({"fault": "reset", "operation": "create", "effect": effect})
    assert stand.create("a") == Received(b"", was_reset=True)
    assert stand.written() == written


@pytest.mark.parametrize("byte", [1, 40])
def test_a_reset_in_the_middle(stand: Stand, byte: int) -> None:
    """Exactly so many bytes arrive, counted from the status line, then RST."""
    stand.order({"fault": "reset", "operation": "create", "byte": byte})
    received = stand.create("a")
    assert (len(received.raw), received.was_reset) == (byte, True)
    assert received.raw == b"HTTP/1.1 200 OK\r\nServer: Werkzeug"[:byte] or byte > 33
    assert stand.written() == [("a", ["reset"])]


@pytest.mark.parametrize(("given", "kept"), [({}, None), ({"bytes": 0}, 0), ({"bytes": 7}, 7)])
def test_a_truncated_reply_promises_more(stand: Stand, given: dict[str, int], kept: int | None) -> None:
    """The head is whole, Content-Length is the whole body's, half of it or so many bytes arrive, then FIN."""
    stand.order({"fault": "truncate", "operation": "create", **given})
    received = stand.create("a")
    promised = int(received.head["content-length"])
    assert len(received.body) == (promised // 2 if kept is None else kept) < promised
    assert (received.status, received.was_reset) == (200, False)
    assert stand.written() == [("a", ["truncate"])]


def test_a_drip_takes_its_time(stand: Stand) -> None:
    """All of the reply arrives, in pieces, and takes as long as the pieces between them."""
    stand.order({"fault": "drip", "operation": "create", "bytes": 150, "seconds": 0.05})
    began = time.monotonic()
    received = stand.create("a")
    assert time.monotonic() - began >= ((len(received.raw) - 1) // 150) * 0.05 > 0
    assert len(received.body) == int(received.head["content-length"])
    assert stand.written() == [("a", ["drip"])]


def test_faults_of_two_sorts(stand: Stand) -> None:
    """A fault of the wire and one that answers strike together."""
    stand.order({"fault": "truncate", "bytes": 9}, {"fault": "html"})
    assert stand.create("a").body == b"<!DOCTYPE"
    assert stand.written() == [("a", ["html", "truncate"])]


def test_a_struck_connection_can_serve_again(stand: Stand) -> None:
    """A fault that leaves the connection open spoils one reply; the next on the same connection is in order."""
    stand.order({"fault": "drip", "bytes": 400, "seconds": 0.01})
    connection, shape = HTTPConnection(*stand.address, timeout=5), stand.shape
    connection.connect()
    opened = connection.sock
    for name in ("a", "b"):
        connection.request("POST", shape.create_path, json.dumps(shape.draft(name)), dict(stand.headers))
        json.load(connection.getresponse())
        assert connection.sock is opened
    connection.close()
    assert stand.written() == [("a", ["drip"]), ("b", [])]
