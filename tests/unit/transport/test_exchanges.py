"""What goes out and what comes back when nothing breaks: once, unredirected, on connections that are kept alive."""

from __future__ import annotations

import gzip
import logging
import socket
from collections.abc import Callable

import pytest

from gateway.app import SystemClock
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendMisconfigured, BackendReplyInvalid, BackendUnavailable, OutcomeUnknown
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.transport.connection_pool import PooledAdapter
from gateway.transport.deadline_socket import DeadlineSocket
from gateway.transport.http1 import Headers, Message
from tests.conftest import VirtualClock
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

pytestmark = pytest.mark.loopback
Send = Callable[..., UpstreamResponse]


def lines(request: bytes) -> list[bytes]:
    return request.partition(b"\r\n\r\n")[0].split(b"\r\n")


def test_exactly_what_was_asked_goes_out(send: Send) -> None:
    """A write has its headers, its length and its body; no cookie and no compression is added."""
    with RawServer([reply(b"{}"), Step.KEEP]) as server:
        send(f"{server.url}/a%20b?c=d", is_write=True, body=b'{"a": 1}')
        send(f"{server.url}/a")
    (start, *headers), (other_start, *other_headers) = map(lines, server.requests)
    assert (start, other_start) == (b"POST /a%20b?c=d HTTP/1.1", b"GET /a HTTP/1.1")
    shared = [
        b"Accept-Encoding: identity",
        b"Content-Type: application/json",
        b"Host: " + server.url.removeprefix("http://").encode(),
        b"User-Agent: module-gateway",
    ]
    assert sorted(headers) == sorted([*shared, b"Content-Length: 8"])
    assert sorted(other_headers) == sorted(shared)
    assert server.requests[0].endswith(b'\r\n\r\n{"a": 1}')


def test_connections_are_kept_alive(send: Send) -> None:
    """Two requests go over one connection."""
    with RawServer([reply(b"{}"), Step.KEEP]) as server:
        assert [send(server.url).status, send(server.url, is_write=True).status] == [200, 200]
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(("idle_seconds", "connections"), [(0.0, 2), (60.0, 1)])
def test_a_connection_that_idled_too_long_is_not_used_again(idle_seconds: float, connections: int) -> None:
    """A write never meets a connection that the backend may be closing at this moment; idle_seconds says when."""
    clock = SystemClock()
    transport = UpstreamClient(TransportSettings(idle_seconds=idle_seconds), clock)
    with RawServer([reply(b"{}"), Step.KEEP]) as server:
        for _ in range(2):
            request = UpstreamRequest(method="POST", url=server.url, headers={}, body=b"{}", is_write=True)
            transport.send(request, CallContext("r", clock.monotonic() + 3.0))
        transport.close()
    assert (server.connections, len(server.requests)) == (connections, 2)


def test_a_connection_that_was_closed_meanwhile_is_not_used_again(send: Send) -> None:
    """What the backend closed in peace costs a new connection and nothing else."""
    with RawServer([reply(b"{}")]) as server:
        send(server.url)
        while server.finished == 0:
            pass
        assert send(server.url, is_write=True).status == 200
    assert (server.connections, len(server.requests)) == (2, 2)


def test_a_redirect_is_not_followed(send: Send) -> None:
    """Credentials never go where a backend points: the redirect itself is the reply, and no success."""
    with RawServer([reply(b"", "Location: /elsewhere", status="302 Found")]) as server:
        answer = send(server.url)
    assert (answer.status, answer.ok, len(server.requests)) == (302, False, 1)


def test_continue_is_passed_over(send: Send) -> None:
    """100 Continue is no reply; what follows is."""
    with RawServer([b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b'{"a": 1}')]) as server:
        assert send(server.url, is_write=True).json() == {"a": 1}


@pytest.mark.parametrize("status", ["102 Processing", "103 Early Hints"])
def test_an_interim_reply_is_passed_over(send: Send, status: str) -> None:
    """The reply proper is the one that follows, and nobody else's: not that of the next request."""
    interim: Script = [f"HTTP/1.1 {status}\r\n\r\n".encode(), 0.1, reply(b'{"of": "first"}'), Step.KEEP]
    second: Script = [reply(b'{"of": "second"}'), Step.KEEP]
    with RawServer(interim, second) as server:
        assert [send(server.url, is_write=True).json(), send(server.url).json()] == [{"of": "first"}, {"of": "second"}]


def test_a_head_that_ends_too_early_is_no_reply(send: Send) -> None:
    """The end of the connection is not the end of the head: what more there was to come, nobody knows."""
    with (
        RawServer([b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"]) as server,
        pytest.raises(OutcomeUnknown),
    ):
        send(server.url, is_write=True)


def test_gzip_is_read_although_nobody_asked_for_it(send: Send) -> None:
    """A proxy may compress all the same."""
    with RawServer([reply(gzip.compress(b'{"a": 1}'), "Content-Encoding: gzip")]) as server:
        assert send(server.url).json() == {"a": 1}


@pytest.mark.parametrize(
    "body", [b"", b"null", b"<html>", b'{"a":', b"[" * 100_000, b'{"a": "\\ud800"}', b"\xff", b"1" * 5000]
)
def test_what_is_no_json_reads_as_none(body: bytes) -> None:
    """No body, however odd, raises anything; half a surrogate pair could not be written out again."""
    assert UpstreamResponse(200, {}, body, is_write=False).json() is None


def test_escaped_characters_are_read() -> None:
    """A whole surrogate pair is a character."""
    assert UpstreamResponse(200, {}, rb'{"a": "\u6a21\ud83d\ude00"}', is_write=False).json() == {"a": "模😀"}


def test_the_state_is_what_the_last_exchange_showed(
    transport: UpstreamClient, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    """Unused, reachable, unreachable; a failure is logged by the names of its exceptions, without the address."""
    states = [transport.state]
    with RawServer([reply(b"{}", status="500 Oops"), Step.KEEP], [Step.RESET]) as server:
        send(server.url)
        states.append(transport.state)
        with caplog.at_level(logging.WARNING), pytest.raises(BackendUnavailable):
            send(server.url)
        states.append(transport.state)
    assert states == ["unused", "reachable", "unreachable"]
    (record,) = (record for record in caplog.records if record.name == "gateway.transport")
    assert record.__dict__["fields"] == {
        "method": "GET",
        "error": "ConnectionResetError",
    }
    assert "127.0.0.1" not in record.getMessage()


def test_the_time_spent_waiting_is_added_up() -> None:
    """The caller's Server-Timing counts every exchange, also one that failed."""
    clock = SystemClock()
    transport = UpstreamClient(TransportSettings(max_reply_bytes=10), clock)
    call = CallContext("r", clock.monotonic() + 3.0)
    with RawServer([reply(b"{}"), Step.KEEP], [0.05, reply(b" " * 11)]) as server:
        request = UpstreamRequest(method="GET", url=server.url, headers={})
        transport.send(request, call)
        spent = call.upstream_seconds
        with pytest.raises(BackendReplyInvalid):
            transport.send(request, call)
    assert 0 < spent < call.upstream_seconds


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///path", "http://a b/", "http://[::1/"])
def test_an_address_that_is_none(url: str) -> None:
    """Nothing is sent, and it is the operator's to correct."""
    clock = SystemClock()
    with pytest.raises(BackendMisconfigured):
        UpstreamClient(TransportSettings(), clock).send(
            UpstreamRequest(method="GET", url=url, headers={}), CallContext("r", clock.monotonic() + 3.0)
        )


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("value", ["a\r\nX: y", "a\rb", "模块"])
def test_a_header_that_cannot_be_sent(value: str, writes: bool) -> None:
    """A credential with the end of a line in it, say: nothing is sent, no connection is made, and nobody is told it."""
    clock = SystemClock()
    with RawServer([reply(b"{}")]) as server, pytest.raises(BackendMisconfigured) as told:
        UpstreamClient(TransportSettings(), clock).send(
            UpstreamRequest(
                method="POST", url=server.url, headers={"X-Auth-Token": value}, body=b"{}", is_write=writes
            ),
            CallContext("r", clock.monotonic() + 3.0),
        )
    assert server.connections == 0
    assert value not in str(told.value)


def test_no_more_connections_are_kept_than_may_be_used() -> None:
    """What comes back when enough are idle is closed."""
    adapter = PooledAdapter(TransportSettings(concurrent_calls=1))
    origin = adapter._origin("http://127.0.0.1:1")
    ends = [socket.socketpair() for _ in range(2)]
    message = Message(200, Headers(), b"", reusable=True)
    for ours, _ in ends:
        adapter._put_back(origin, DeadlineSocket(ours), message)
    assert [ours.fileno() == -1 for ours, _ in ends] == [False, True]
    adapter.close()
    for _, theirs in ends:
        theirs.close()


def test_connections_of_a_busier_hour_are_closed(monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> None:
    """What idled too long is hung up on when the next exchange ends, although only fresher ones are ever used."""
    monkeypatch.setattr("gateway.transport.connection_pool.time", clock)
    adapter = PooledAdapter(TransportSettings(idle_seconds=15.0))
    origin = adapter._origin("http://127.0.0.1:1")
    ends = [socket.socketpair() for _ in range(4)]
    message = Message(200, Headers(), b"", reusable=True)
    for (ours, _), pause in zip(ends, (0.0, 5.0, 9.0, 1.0), strict=True):
        clock.sleep(pause)
        adapter._put_back(origin, DeadlineSocket(ours), message)
    assert [ours.fileno() == -1 for ours, _ in ends] == [True, False, False, False]
    adapter.close()
    for _, theirs in ends:
        theirs.close()
