"""The socket: one total deadline, several addresses of a host, TLS, and reuse."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from gateway.transport import deadline_socket
from gateway.transport.deadline_socket import ConnectError, DeadlineSocket, TlsDeadlineSocket, connect
from tests.conftest import VirtualClock
from tests.unit.transport.certificates import create_certificate, server_context

Pair = tuple[DeadlineSocket, socket.socket, socket.socket]


@pytest.fixture
def pair(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """The two ends of a connection, the first with a deadline in five seconds of a virtual clock."""
    monkeypatch.setattr(deadline_socket, "time", clock)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield DeadlineSocket(ours, clock.monotonic() + 5.0), ours, theirs


def test_the_deadline_is_a_total(pair: Pair, clock: VirtualClock) -> None:
    """Each read has the time that remains; the reads together end at the deadline."""
    connection, ours, theirs = pair
    for remaining in (5.0, 3.75, 2.5, 1.25):
        theirs.sendall(b"a")
        assert connection.receive() == b"a"
        assert ours.gettimeout() == remaining
        clock.sleep(1.25)
    for operation in (connection.receive, lambda: connection.send(b"late")):
        with pytest.raises(TimeoutError, match="the deadline has passed"):
            operation()


def test_a_connection_with_unread_data_is_not_reusable(pair: Pair) -> None:
    """Unsolicited data, a closed connection and a closed socket are not reusable."""
    connection, ours, theirs = pair
    assert connection.is_reusable()
    theirs.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert not connection.is_reusable()
    theirs.close()
    assert not connection.is_reusable()
    connection.close()
    assert not connection.is_reusable()
    assert ours.fileno() == -1


def test_a_socket_that_accepts_few_bytes_at_a_time() -> None:
    """The rest is sent in order, each part within the time that remains."""

    class NarrowSocket:
        def __init__(self) -> None:
            self.sent = b""
            self.timeouts = 0

        def settimeout(self, seconds: float) -> None:
            assert 0 < seconds <= 60.0
            self.timeouts += 1

        def send(self, data: bytes) -> int:
            self.sent += data[:3]
            return min(len(data), 3)

    sock: Any = NarrowSocket()
    DeadlineSocket(sock, time.monotonic() + 60.0).send(b"abcdefgh")
    assert (sock.sent, sock.timeouts) == (b"abcdefgh", 3)


class FakeNetwork:
    """Addresses of a host and what happens on each: a number of seconds until the timeout, or an error."""

    def __init__(self, clock: VirtualClock, *addresses: float | OSError | None) -> None:
        self.clock, self.addresses = clock, addresses
        self.timeouts: list[float] = []
        self.closed = 0

    def getaddrinfo(self, host: str, port: int, *, type: int) -> list[Any]:  # noqa: A002 - the name of the socket module
        return [(socket.AF_INET, type, 0, "", (result, port)) for result in self.addresses]

    def socket(self, *_: object) -> FakeNetwork:
        return self

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def connect(self, address: tuple[float | OSError | None, int]) -> None:
        result = address[0]
        if isinstance(result, OSError):
            raise result
        if result is not None:
            self.clock.sleep(result)
            raise TimeoutError

    def setsockopt(self, *_: object) -> None:
        """Accept any option."""

    def close(self) -> None:
        self.closed += 1


def connect_through(network: FakeNetwork, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> DeadlineSocket:
    monkeypatch.setattr(deadline_socket, "time", clock)
    monkeypatch.setattr(socket, "getaddrinfo", network.getaddrinfo)
    monkeypatch.setattr(socket, "socket", network.socket)
    return connect("host.invalid", 80, None, clock.monotonic() + 6.0)


def test_every_address_shares_the_deadline(monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> None:
    """Each has an equal share of the time that remains; the first that accepts is used, and the others are closed."""
    network = FakeNetwork(clock, 2.0, ConnectionRefusedError(), None)
    connect_through(network, monkeypatch, clock)
    assert (network.timeouts, network.closed) == ([2.0, 2.0, 4.0], 2)


@pytest.mark.parametrize(
    ("addresses", "error"),
    [
        ([], ConnectError),
        ([ConnectionRefusedError(), ConnectionRefusedError()], ConnectError),
        ([3.0, ConnectionRefusedError()], ConnectError),
        ([3.0, 3.0], requests.ConnectTimeout),
        ([7.0, None], requests.ConnectTimeout),  # a system whose timeout is late leaves no time for the second
    ],
)
def test_no_address_accepts(
    monkeypatch: pytest.MonkeyPatch,
    clock: VirtualClock,
    addresses: list[float | OSError | None],
    error: type[OSError],
) -> None:
    """The last failure is the result."""
    network = FakeNetwork(clock, *addresses)
    with pytest.raises(error) as caught:
        connect_through(network, monkeypatch, clock)
    assert caught.type is error
    assert network.closed == len(addresses)


def test_a_name_lookup_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at the deadline, although getaddrinfo has no timeout."""
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: answered.wait())
    with pytest.raises(requests.ConnectTimeout):
        connect("host.invalid", 80, None, time.monotonic() + 0.05)
    answered.set()


class TlsServer:
    """One TLS connection whose server side a test operates by hand, over a pair of sockets."""

    def __init__(self, certificate: Path) -> None:
        ours, self.sock = socket.socketpair()
        context = ssl.create_default_context(cafile=str(certificate))
        self.client = TlsDeadlineSocket(ours, time.monotonic() + 30.0, context, "127.0.0.1")
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = server_context(certificate).wrap_bio(self.incoming, self.outgoing, server_side=True)

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._handshake)
        thread.start()
        self.client.handshake()
        thread.join()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.sock.close()

    def _handshake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
                self.incoming.write(self.sock.recv(65536))
            else:
                return self.flush()  # TLS 1.3: the session tickets

    def flush(self) -> None:
        self.sock.sendall(self.outgoing.read())

    def read(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            with contextlib.suppress(ssl.SSLWantReadError):
                data += self.tls.read(65536)
                continue
            self.incoming.write(self.sock.recv(65536))
        return data


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_certificate(tmp_path_factory.mktemp("tls"))


def test_tls_data_in_both_directions(certificate: Path) -> None:
    """Several records are sent, and one that arrives in pieces is received when it is complete."""
    data = bytes(range(256)) * 150  # more than two records
    with TlsServer(certificate) as server:
        server.client.send(data)
        assert server.read(len(data)) == data
        server.tls.write(b"answer")
        record = server.outgoing.read()
        server.sock.sendall(record[:7])
        assert server.client.is_reusable()  # session tickets and part of a record are no data
        server.client.deadline = time.monotonic() + 30.0
        server.sock.sendall(record[7:])
        assert server.client.receive() == b"answer"
        assert server.client.is_reusable()
        server.tls.write(b"unsolicited")
        server.flush()
        assert not server.client.is_reusable()


@pytest.mark.parametrize("with_notice", [True, False])
def test_the_end_of_a_tls_stream(certificate: Path, with_notice: bool) -> None:
    """Only close_notify is a regular end (RFC 8446, 6.1): otherwise anything on the path could shorten a response."""
    with TlsServer(certificate) as server:
        if with_notice:
            with contextlib.suppress(ssl.SSLWantReadError):
                server.tls.unwrap()
            server.flush()
        server.sock.close()
        if with_notice:
            assert server.client.receive() == b""
        else:
            with pytest.raises(ssl.SSLEOFError):
                server.client.receive()
        assert not server.client.is_reusable()
