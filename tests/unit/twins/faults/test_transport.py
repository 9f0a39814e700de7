"""Faults of the connection: closed, reset, truncated, slow; the ledger shows whether the write was applied."""

import json
import time
from http.client import HTTPConnection

import pytest

from tests.unit.twins.faults.conftest import CLOSED, ESB, RawResponse, TwinClient

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(("effect", "ledger"), [("now", [("a", ["drop"])]), ("never", [])])
def test_a_drop_closes_without_a_byte(twin: TwinClient, effect: str, ledger: object) -> None:
    """FIN without a byte; ledger and reads agree on the write, and it was attempted once."""
    twin.add_rules({"fault": "drop", "operation": "create", "effect": effect})
    assert twin.create("a") == CLOSED
    assert twin.ledger() == ledger
    assert twin.list_names() == [name for name, _ in twin.ledger()]
    assert twin.attempted_names() == ["a"]


def test_a_drop_waits_for_the_whole_request(cmdb: TwinClient) -> None:
    """The client has sent all of a large request when the connection is closed: it gets no broken pipe."""
    cmdb.add_rules({"fault": "drop", "effect": "never"})
    body = {"condition": {"bk_module_name": "a" * 20_000_000}}
    assert cmdb.send("POST", f"{ESB}/search_module/", body) == CLOSED


@pytest.mark.parametrize(("effect", "ledger"), [("now", [("a", ["reset"])]), ("never", [])])
def test_a_reset_sends_rst(twin: TwinClient, effect: str, ledger: object) -> None:
    """ECONNRESET before the first byte, with or without the write."""
    twin.add_rules({"fault": "reset", "operation": "create", "effect": effect})
    assert twin.create("a") == RawResponse(b"", was_reset=True)
    assert twin.ledger() == ledger


@pytest.mark.parametrize("byte", [1, 40])
def test_a_reset_within_the_response(twin: TwinClient, byte: int) -> None:
    """Exactly this number of bytes arrives, status line included, then RST."""
    twin.add_rules({"fault": "reset", "operation": "create", "byte": byte})
    response = twin.create("a")
    assert (len(response.raw), response.was_reset) == (byte, True)
    assert response.raw == b"HTTP/1.1 200 OK\r\nServer: Werkzeug"[:byte] or byte > 33
    assert twin.ledger() == [("a", ["reset"])]


@pytest.mark.parametrize(("parameters", "length"), [({}, None), ({"bytes": 0}, 0), ({"bytes": 7}, 7)])
def test_a_truncated_response(twin: TwinClient, parameters: dict[str, int], length: int | None) -> None:
    """The head is whole and has the Content-Length of the whole body; half or `bytes` of it arrive, then FIN."""
    twin.add_rules({"fault": "truncate", "operation": "create", **parameters})
    response = twin.create("a")
    content_length = int(response.headers["content-length"])
    assert len(response.body) == (content_length // 2 if length is None else length) < content_length
    assert (response.status, response.was_reset) == (200, False)
    assert twin.ledger() == [("a", ["truncate"])]


def test_a_drip_sends_slowly(twin: TwinClient) -> None:
    """The whole response arrives in chunks, and takes as long as the intervals between them."""
    twin.add_rules({"fault": "drip", "operation": "create", "bytes": 150, "seconds": 0.05})
    started_at = time.monotonic()
    response = twin.create("a")
    assert time.monotonic() - started_at >= ((len(response.raw) - 1) // 150) * 0.05 > 0
    assert len(response.body) == int(response.headers["content-length"])
    assert twin.ledger() == [("a", ["drip"])]


def test_a_transport_fault_and_a_response_fault(twin: TwinClient) -> None:
    """Faults of both categories apply to one request."""
    twin.add_rules({"fault": "truncate", "bytes": 9}, {"fault": "html"})
    assert twin.create("a").body == b"<!DOCTYPE"
    assert twin.ledger() == [("a", ["html", "truncate"])]


def test_a_connection_is_reused_after_a_drip(twin: TwinClient) -> None:
    """A fault that keeps the connection open affects one response; the next on the connection is complete."""
    twin.add_rules({"fault": "drip", "bytes": 400, "seconds": 0.01})
    connection = HTTPConnection(*twin.address, timeout=5)
    connection.connect()
    first_socket = connection.sock
    for name in ("a", "b"):
        body = json.dumps(twin.create_body(name))
        connection.request("POST", twin.create_path, body, dict(twin.headers))
        json.load(connection.getresponse())
        assert connection.sock is first_socket
    connection.close()
    assert twin.ledger() == [("a", ["drip"]), ("b", [])]
