"""Connections with one total deadline for name resolution, connecting, TLS, sending and receiving."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

import requests

_Result = TypeVar("_Result")
_RECEIVE_BYTES: Final = 64 * 1024


class ConnectError(requests.ConnectionError):
    """No connection was made, so not a byte of the request was sent."""


class DeadlineSocket:
    """A connected TCP socket. `deadline`, a time.monotonic(), ends every operation; with None no operation waits."""

    __slots__ = ("_sock", "deadline", "last_used")

    def __init__(self, sock: socket.socket, deadline: float | None) -> None:
        self._sock = sock
        self.deadline = deadline
        self.last_used = 0.0

    def send(self, data: bytes) -> None:
        """Send all of the data; raises TimeoutError."""
        while data:  # usually once; gevent's sendall() makes one more system call, for the size of the send buffer
            self._set_timeout()
            data = data[self._sock.send(data) :]

    def receive(self) -> bytes:
        """Return the next bytes, or b"" at the end of the stream.

        Raises TimeoutError at the deadline; without a deadline, BlockingIOError if nothing has arrived.
        """
        self._set_timeout()
        return self._sock.recv(_RECEIVE_BYTES)

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def start_tls(self, tls_context: ssl.SSLContext, hostname: str) -> TlsDeadlineSocket:
        """Return TLS over this connection, which must not be used any more; raises what a handshake raises."""
        connection = TlsDeadlineSocket(self._sock, self.deadline, tls_context, hostname)
        connection.handshake()
        return connection

    def is_reusable(self) -> bool:
        """Return whether an idle connection is open and has received nothing since its last response."""
        self.deadline = None
        try:
            self.receive()
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # data that belongs to no request, or the end of the stream

    def _set_timeout(self) -> None:
        self._sock.settimeout(0.0 if self.deadline is None else _remaining_seconds(self.deadline))


class TlsDeadlineSocket(DeadlineSocket):
    """TLS over a DeadlineSocket, encrypted in memory.

    gevent's SSLSocket restarts its timeout with each packet of a handshake or record; here all packets share one
    deadline.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls")

    def __init__(self, sock: socket.socket, deadline: float | None, tls_context: ssl.SSLContext, hostname: str) -> None:
        super().__init__(sock, deadline)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = tls_context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)

    def handshake(self) -> None:
        """Verify the server's certificate and agree on keys; raises ssl.SSLCertVerificationError or OSError."""
        try:
            self._run_tls_operation(self._tls.do_handshake)
        finally:
            self._send_pending()  # the last handshake message, or the alert that tells the server what failed

    def send(self, data: bytes) -> None:
        """Send all of the data; raises TimeoutError."""
        unsent = memoryview(data)
        while unsent:  # write() returns how much it has accepted
            unsent = unsent[self._tls.write(unsent) :]
        self._send_pending()

    def receive(self) -> bytes:
        """Return the next bytes, or b"" after the server's close_notify.

        Raises SSLEOFError if the stream ends without close_notify, because an attacker may have cut it off.
        """
        return self._run_tls_operation(lambda: self._tls.read(_RECEIVE_BYTES))

    def _run_tls_operation(self, operation: Callable[[], _Result]) -> _Result:
        """Return the result of a TLS operation; send and receive the packets that it needs."""
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                self._send_pending()
            data = super().receive()
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _send_pending(self) -> None:
        """Send what the TLS object has encrypted."""
        super().send(self._outgoing.read())


def connect(host: str, port: int, tls_context: ssl.SSLContext | None, deadline: float) -> DeadlineSocket:
    """Return a new connection to a server, over TLS if a `tls_context` is given.

    Raises ConnectError, requests.ConnectTimeout or ssl.SSLCertVerificationError; each proves that nothing of a request
    was sent.
    """
    try:
        sock = _connect_to_any(_resolve_host(host, port, _remaining_seconds(deadline)), deadline)
        if tls_context is None:
            return DeadlineSocket(sock, deadline)
        try:
            connection = TlsDeadlineSocket(sock, deadline, tls_context, host)
            connection.handshake()
        except BaseException:
            sock.close()
            raise
    except ssl.SSLCertVerificationError:  # also an OSError, but the operator must correct it
        raise
    except TimeoutError as error:
        raise requests.ConnectTimeout("no connection before the deadline") from error
    except OSError as error:
        raise ConnectError("no connection") from error
    return connection


def _resolve_host(host: str, port: int, seconds: float) -> list[Any]:
    """Return the addresses of a host as getaddrinfo does; raises TimeoutError or getaddrinfo's own error.

    getaddrinfo has no timeout, so it runs in a thread (under gevent in a greenlet), which is abandoned after `seconds`.
    """
    future: Future[list[Any]] = Future()

    def resolve() -> None:
        try:
            future.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException as error:  # raised again by result()
            future.set_exception(error)

    threading.Thread(target=resolve, daemon=True).start()
    return future.result(seconds)


def _connect_to_any(addresses: list[Any], deadline: float) -> socket.socket:
    """Return a socket connected to the first address that accepts; raises the last address's error if none does.

    The remaining time is divided equally among the addresses that are left, so that one that does not respond leaves
    time for the next.
    """
    last_error: OSError = OSError("the host has no address")
    for index, (family, socket_type, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, socket_type, protocol)
        try:
            addresses_left = len(addresses) - index
            sock.settimeout(_remaining_seconds(deadline) / addresses_left)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            last_error = error
        else:
            return sock
    raise last_error


def _remaining_seconds(deadline: float) -> float:
    """Return the seconds until a deadline; raises TimeoutError if it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return seconds
