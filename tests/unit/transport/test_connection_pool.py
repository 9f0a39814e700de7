"""The adapter: requests' responses, connections that are kept alive, and invalid addresses."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from requests.structures import CaseInsensitiveDict

from gateway.app import SystemClock
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendUnavailable
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.transport.connection_pool import Deadline, PooledAdapter
from gateway.transport.deadline_socket import DeadlineSocket
from gateway.transport.http1 import HttpResponse
from tests.conftest import VirtualClock
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

pytestmark = pytest.mark.loopback
Send = Callable[..., UpstreamResponse]
RESPONSE = HttpResponse(200, CaseInsensitiveDict(), b"", keep_alive=True)


@pytest.mark.parametrize("data", ['{"a": "ü"}', b'{"a": "\xc3\xbc"}'])
def test_it_is_an_adapter_of_requests(data: str | bytes) -> None:
    """Mounted on a session it sends what requests prepares, and returns requests' own response."""
    with RawServer([reply(b'{"b": 2}', "X-Name: value")]) as server, requests.Session() as session:
        session.trust_env = False
        session.mount("http://", PooledAdapter(TransportSettings()))
        response = session.post(f"{server.url}/path", data=data, timeout=3.0)
    assert type(response) is requests.Response
    assert (response.status_code, response.headers["x-NAME"], response.json()) == (200, "value", {"b": 2})
    assert (response.url, response.request.body) == (f"{server.url}/path", data)
    assert server.requests[0].endswith(b'\r\n\r\n{"a": "\xc3\xbc"}')


def test_connections_are_kept_alive(send: Send) -> None:
    """Two requests use one connection."""
    with RawServer([reply(b"{}"), Step.KEEP]) as server:
        assert [send(server.url).status, send(server.url, is_write=True).status] == [200, 200]
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(("idle_seconds", "connections"), [(0.0, 2), (60.0, 1)])
def test_a_connection_that_was_idle_for_too_long_is_not_used_again(idle_seconds: float, connections: int) -> None:
    """A write never uses a connection that the backend may be closing at the moment; idle_seconds is the limit."""
    clock = SystemClock()
    client = UpstreamClient(TransportSettings(idle_seconds=idle_seconds), clock)
    with RawServer([reply(b"{}"), Step.KEEP]) as server:
        for _ in range(2):
            request = UpstreamRequest(method="POST", url=server.url, headers={}, body=b"{}", is_write=True)
            client.send(request, CallContext("r", clock.monotonic() + 3.0))
        client.close()
    assert (server.connections, len(server.requests)) == (connections, 2)


def test_a_connection_that_the_backend_has_closed_is_not_used_again(send: Send) -> None:
    """It costs a new connection and nothing else."""
    with RawServer([reply(b"{}")]) as server:
        send(server.url)
        while server.finished == 0:
            pass
        assert send(server.url, is_write=True).status == 200
    assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize(
    "first",
    [
        [reply(b"{}") + b"\r\n", Step.KEEP],
        [b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", Step.KEEP],
        [b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", Step.KEEP],
        [b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n" + reply(b"{}"), Step.KEEP],
    ],
)
def test_a_response_with_anything_behind_it_ends_the_connection(send: Send, first: Script) -> None:
    """Surplus bytes, and a body where none is allowed: the next request uses a new connection."""
    with RawServer(first, [reply(b'{"of": "second"}')]) as server:
        send(server.url)
        assert send(server.url).json() == {"of": "second"}
    assert server.connections == 2


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///path", "http://a b/", "http://[::1/", "http://h?a=b"])
def test_an_invalid_address(url: str) -> None:
    """Nothing is sent, and the operator must correct it."""
    request = requests.PreparedRequest()
    request.method, request.url, request.headers = "GET", url, CaseInsensitiveDict()
    with pytest.raises(requests.exceptions.InvalidURL):
        PooledAdapter(TransportSettings()).send(request, timeout=3.0)


@pytest.mark.parametrize("is_write", [False, True])
@pytest.mark.parametrize("connected", [False, True])
def test_an_exchange_after_its_deadline_sends_nothing(
    send: Send, monkeypatch: pytest.MonkeyPatch, connected: bool, is_write: bool
) -> None:
    """A process that is suspended between admission and the first byte sends none, and says that none was sent."""
    checkout = PooledAdapter._checkout

    def suspended(adapter: PooledAdapter, origin: Any) -> DeadlineSocket | None:
        connection = checkout(adapter, origin)
        time.sleep(0.3)
        return connection

    with RawServer([reply(b"{}"), Step.KEEP]) as server:
        if connected:
            send(server.url)
        requests_before = len(server.requests)
        monkeypatch.setattr(PooledAdapter, "_checkout", suspended)
        with pytest.raises(BackendUnavailable, match="nothing was sent"):
            send(server.url, is_write=is_write, seconds=0.2)
        assert len(server.requests) == requests_before


def test_a_deadline_is_an_instant() -> None:
    """A number of seconds starts with the adapter's first line; a Deadline has begun before."""
    request = requests.PreparedRequest()
    with RawServer([reply(b"{}")]) as server:
        request.method, request.url, request.headers = "GET", server.url, CaseInsensitiveDict()
        adapter = PooledAdapter(TransportSettings())
        with pytest.raises(requests.ConnectTimeout):
            adapter.send(request, timeout=Deadline(time.monotonic() - 0.001))
        assert server.requests == []
        assert adapter.send(request, timeout=Deadline(time.monotonic() + 3.0)).status_code == 200
        adapter.close()


def test_the_clock_is_read_last_before_the_first_byte(monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> None:
    """Whatever took the time before, a connection that is there is closed without a byte."""
    adapter, sent = PooledAdapter(TransportSettings()), list[bytes]()
    ours, theirs = socket.socketpair()
    monkeypatch.setattr("gateway.transport.connection_pool.time", clock)
    monkeypatch.setattr(DeadlineSocket, "send", lambda _self, data: sent.append(data))

    def connect_slowly(*_: object) -> DeadlineSocket:
        clock.sleep(2.0)
        return DeadlineSocket(ours, None)

    monkeypatch.setattr(PooledAdapter, "_connect", connect_slowly)
    request = requests.PreparedRequest()
    request.method, request.url, request.headers = "POST", "http://127.0.0.1:1/", CaseInsensitiveDict()
    with pytest.raises(requests.ConnectTimeout):
        adapter.send(request, timeout=Deadline(clock.monotonic() + 2.0))
    assert (sent, ours.fileno()) == ([], -1)
    theirs.close()


def test_idle_connections_are_limited() -> None:
    """A connection that is released when enough are idle is closed."""
    adapter = PooledAdapter(TransportSettings(concurrent_calls=1))
    pool = adapter._get_pool("http://127.0.0.1:1")
    pairs = [socket.socketpair() for _ in range(2)]
    for ours, _ in pairs:
        adapter._release(pool, DeadlineSocket(ours, None), RESPONSE)
    assert [ours.fileno() == -1 for ours, _ in pairs] == [False, True]
    adapter.close()
    for _, theirs in pairs:
        theirs.close()


def test_old_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> None:
    """They are closed when the next exchange ends, although only newer ones are reused."""
    monkeypatch.setattr("gateway.transport.connection_pool.time", clock)
    adapter = PooledAdapter(TransportSettings(idle_seconds=15.0))
    pool = adapter._get_pool("http://127.0.0.1:1")
    pairs = [socket.socketpair() for _ in range(4)]
    for (ours, _), pause in zip(pairs, (0.0, 5.0, 9.0, 1.0), strict=True):
        clock.sleep(pause)
        adapter._release(pool, DeadlineSocket(ours, None), RESPONSE)
    assert [ours.fileno() == -1 for ours, _ in pairs] == [True, False, False, False]
    adapter.close()
    for _, theirs in pairs:
        theirs.close()
