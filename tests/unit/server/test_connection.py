"""A caller's connection: deadlines of requests and responses, and which one makes room for a new one."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket
from gunicorn.http.errors import InvalidChunkSize, NoMoreData

from gateway.domain.errors import GatewayError, InvalidJson, Overloaded, RequestTimeout
from gateway.server import connection as module
from gateway.server.connection import Connection, Connections, RequestBody


@pytest.fixture
def peers() -> Iterator[list[Any]]:
    """The callers' ends of the connections that a test has opened."""
    sockets: list[Any] = []
    yield sockets
    for sock in sockets:
        sock.close()


def _open(connections: Connections, peers: list[Any], stack: ExitStack) -> Connection:
    client, peer = gevent_socket.socketpair()
    peers += [client, peer]
    return stack.enter_context(connections.open(client))


def _read_all(read: Any) -> None:
    while True:
        read(10)


@pytest.mark.parametrize(("keepalive", "idle_seconds"), [(0, 0.05), (75, 75)])
def test_an_idle_connection_ends(peers: list[Any], keepalive: float, idle_seconds: float) -> None:
    """Without keep-alive a connection has the time of a request for its first byte; its end is no error."""
    connections = Connections(10, keepalive, 0.05)
    assert connections.idle_seconds == idle_seconds
    connections.idle_seconds = 0.01
    with ExitStack() as stack:
        assert _open(connections, peers, stack).recv(10) == b""
    assert not connections.idle


def test_a_request_has_one_deadline(peers: list[Any]) -> None:
    """It starts with the first byte of the head, and again with the body; single bytes do not prolong it."""
    with ExitStack() as stack:
        connection = _open(Connections(10, 60.0, 0.2), peers, stack)
        peer = peers[1]
        peer.sendall(b"GET")
        assert connection.recv(10) == b"GET"
        head_deadline = connection.deadline
        assert head_deadline is not None

        def receive_a_late_byte(size: int) -> None:
            peer.sendall(b"a")
            gevent.sleep(0.01)
            connection.recv(size)

        with pytest.raises(RequestTimeout), gevent.Timeout(30.0):
            _read_all(receive_a_late_byte)
        assert connection.deadline == head_deadline
        connection.start_request()
        assert connection.deadline is not None
        assert connection.deadline > head_deadline
        with pytest.raises(RequestTimeout):
            _read_all(connection.recv)
        connection.end_request(complete=True)
        state: tuple[object, ...] = connection.serving, connection.deadline, connection.lingering
        assert state == (False, None, False)


def test_which_connection_makes_room(peers: list[Any]) -> None:
    """First the longest stalled request, then the longest idle one, then one whose caller does not receive."""
    connections = Connections(6, 60.0, 60.0)
    with ExitStack() as stack:
        sending, idle, second_idle, stalled, serving = (_open(connections, peers, stack) for _ in range(5))
        stalled.start_request()
        greenlets: list[Any] = [gevent.spawn(sending.sendall, b"a" * 10_000_000)]
        greenlets += [gevent.spawn(connection.recv, 10) for connection in (idle, second_idle, stalled)]
        gevent.sleep(0)
        ended: list[Any] = []
        for greenlet in (greenlets[3], *greenlets[1:3], greenlets[0]):
            _open(connections, peers, stack)
            greenlet.join(timeout=30.0)
            ended.append(greenlet.exception or greenlet.value)
            assert sum(each.ready() for each in greenlets) == len(ended)
        assert isinstance(ended[0], Overloaded)
        assert ended[1:3] == [b"", b""]
        assert isinstance(ended[3], OSError)
        _open(connections, peers, stack)  # nothing waits any more
        assert not serving.evicted


def test_a_caller_that_does_not_receive(peers: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that cannot be sent ends as if the caller had closed the connection."""
    monkeypatch.setattr(module, "_SEND_SECONDS", 0.01)
    with ExitStack() as stack:
        connection = _open(Connections(10, 60.0, 60.0), peers, stack)
        with pytest.raises(ConnectionResetError):
            connection.sendall(b"a" * 10_000_000)


def test_a_lingering_connection_is_read_before_it_is_closed(peers: list[Any]) -> None:
    """The caller gets the whole response, although it has sent more than was read."""
    with ExitStack() as stack:
        connection = _open(Connections(10, 60.0, 60.0), peers, stack)
        peers[1].sendall(b"a" * 10_000)
        connection.sendall(b"413")
        connection.end_request(complete=False)
        closing = gevent.spawn(connection.close)
        assert (peers[1].recv(10), peers[1].recv(10)) == (b"413", b"")
        peers[1].close()
        closing.get(timeout=30.0)
        assert connection.fileno() == -1


def _body(read: Any, *headers: tuple[str, str]) -> tuple[RequestBody, list[str]]:
    closed: list[str] = []
    request = SimpleNamespace(body=SimpleNamespace(read=read), headers=headers, force_close=lambda: closed.append("x"))
    connection = SimpleNamespace(deadline=time.monotonic() + 60.0)
    return RequestBody(request, connection), closed  # type: ignore[arg-type] # a deadline is all it needs


def _raise(error: Exception) -> Any:
    def read(_size: int) -> bytes:
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "error", "text"),
    [
        (_raise(InvalidChunkSize(b"zz")), InvalidJson, "malformed"),
        (_raise(NoMoreData()), InvalidJson, "ended before"),
        (io.BytesIO(b"{}").read, InvalidJson, "ended before"),
        (_raise(RequestTimeout()), RequestTimeout, "in time"),
    ],
)
def test_a_body_that_cannot_be_read(read: Any, error: type[GatewayError], text: str) -> None:
    """It is the caller's error, the response closes the connection, and no other request follows."""
    body, closed = _body(read, ("HOST", "a"), ("CONTENT-LENGTH", "3"))
    with pytest.raises(error, match=text):
        _read_all(body.read)
    assert (closed, body.failed, body.finish()) == (["x"], True, False)


@pytest.mark.parametrize(("size", "complete"), [(100_000, True), (5_000_000, False)])
def test_the_rest_of_a_body(size: int, complete: bool) -> None:
    """What the application has not read is discarded up to a limit, so that the next request can follow."""
    body, _closed = _body(io.BytesIO(b"a" * size).read, ("CONTENT-LENGTH", str(size)))
    assert body.read(10) == b"a" * 10
    assert body.finish() is complete


def test_the_rest_of_a_body_that_is_malformed() -> None:
    """The response has been sent already: the connection is closed."""
    body, _closed = _body(_raise(NoMoreData()))
    assert not body.finish()
