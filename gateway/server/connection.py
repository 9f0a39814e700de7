"""A caller's connection and request body with deadlines, and the choice of connections that make room for new ones."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final

from gevent import monkey
from gunicorn.http.errors import NoMoreData

#: Python's own socket class, which gevent's patch replaces.
_original_socket: Final[type[socket.socket]] = monkey.get_original("socket", "socket")
#: How long a caller may take to receive a part of a response, in seconds.
_SEND_SECONDS: Final = 30.0
#: How long the rest of a request is received after its response, in seconds.
_LINGER_SECONDS: Final = 1.0
_MAX_DISCARDED_BYTES: Final = 1024 * 1024


class Connections:
    """The connections of one listening socket, by what they wait for, the longest waiting first.

    When almost all of the `limit` connections are open, each new one closes one that waits: one whose request has
    stalled, else an idle one, else one whose caller does not receive its response. Callers that send nothing therefore
    cannot keep others from being served.
    """

    def __init__(self, limit: int, idle_seconds: float, request_seconds: float, *, is_admin: bool = False) -> None:
        """Allow a request to arrive within `request_seconds`; an idle connection stays for `idle_seconds`."""
        self.idle_seconds = idle_seconds or request_seconds
        self.request_seconds = request_seconds
        self.is_admin = is_admin  # whether they came to GATEWAY_ADMIN_BIND
        self._threshold = limit - max(limit // 20, 1)
        self._open = 0
        self.reading: dict[Connection, None] = {}
        self.idle: dict[Connection, None] = {}
        self.sending: dict[Connection, None] = {}

    @contextmanager
    def open(self, client: Any) -> Iterator[Connection]:
        """Return the connection of a socket; it counts as open during the with block."""
        self._open += 1
        if self._open > self._threshold:
            self._close_one()
        try:
            yield Connection(client, self)
        finally:
            self._open -= 1

    def _close_one(self) -> None:
        for waiting, how in (
            (self.reading, socket.SHUT_RD),
            (self.idle, socket.SHUT_RD),
            (self.sending, socket.SHUT_RDWR),
        ):
            for connection in waiting:
                del waiting[connection]
                connection.evicted = True
                connection.shut_down(how)
                return


class Connection:
    """Stands for gevent's socket in gunicorn, which receives with `recv` and sends with `sendall`."""

    def __init__(self, client: Any, connections: Connections) -> None:
        self._client = client
        self._connections = connections
        self.is_admin = connections.is_admin
        self.deadline: float | None = None  # of the request that arrives, on time.monotonic(); None between requests
        self.serving = False  # whether the head of a request has arrived and its response has not been sent
        self.evicted = False
        self.lingering = False  # whether the caller may still be sending when the connection is closed

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the socket."""
        return getattr(self._client, name)

    def start_request(self) -> None:
        """Start the time for a body, whose head has arrived; the application may shorten it."""
        self.serving = True
        self.deadline = monotonic() + self._connections.request_seconds

    def end_request(self, *, complete: bool) -> None:
        """Wait for the next request, unless the last one is not `complete`: then the connection will be closed."""
        self.serving, self.deadline, self.lingering = False, None, not complete

    def recv(self, size: int) -> bytes:
        """Return the next bytes, b"" at the end of the input; raises RequestTimeout or Overloaded within a request."""
        connections, deadline = self._connections, self.deadline
        if deadline is None:
            waiting, timeout = connections.idle, connections.idle_seconds
        else:
            waiting, timeout = connections.reading, deadline - monotonic()
            if timeout <= 0:  # gevent does not wait if bytes have arrived
                raise _refusals().request_timeout()
        self._client.settimeout(timeout)
        waiting[self] = None
        try:
            data: bytes = self._client.recv(size)
        except TimeoutError:
            if deadline is None:
                return b""
            raise _refusals().request_timeout() from None
        finally:
            waiting.pop(self, None)
        if deadline is None:
            self.deadline = monotonic() + connections.request_seconds
        elif not data and self.evicted:
            raise _refusals().too_many_connections()
        return data

    def sendall(self, data: bytes) -> None:
        """Send data; raises ConnectionResetError, which gunicorn expects, if the caller does not receive it."""
        sending = self._connections.sending
        self._client.settimeout(_SEND_SECONDS)
        sending[self] = None
        try:
            self._client.sendall(data)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the caller does not receive") from None
        finally:
            sending.pop(self, None)

    def shut_down(self, how: int = socket.SHUT_RD) -> None:
        """End the input of a connection: requests that have arrived are still served, then gunicorn closes it.

        The descriptor is duplicated for a socket of Python's own class, because gevent's `shutdown` raises in the
        greenlet that waits for a request, even if one has just arrived.
        """
        with suppress(OSError), _original_socket(fileno=os.dup(self._client.fileno())) as duplicate:
            duplicate.shutdown(how)

    def close(self) -> None:
        """Close the socket; receive the rest of a refused request first, or a reset could overtake its response."""
        with suppress(Exception):  # it is closed in any case
            if self.lingering:
                self.shut_down(socket.SHUT_WR)
                self.deadline = monotonic() + _LINGER_SECONDS
                discard(self.recv)
        self._client.close()


class RequestBody:
    """A request's body: an incomplete or malformed one is an InvalidJson, not an error of gunicorn's."""

    def __init__(self, request: Any, connection: Connection) -> None:
        """`request` is gunicorn's; its body's `read` returns less than Content-Length at the end of the input."""
        self._request = request
        self._body = request.body
        self._connection = connection
        self._received = 0
        self.failed = False  # as gunicorn's: the start of the next request is unknown

    def set_deadline(self, deadline: float) -> None:
        """Set when the body must have arrived, on time.monotonic()."""
        self._connection.deadline = deadline

    def read(self, size: int | None = None) -> bytes:
        """Return up to `size` bytes, b"" at the end; raises InvalidJson, RequestTimeout or Overloaded."""
        try:
            data: bytes = self._body.read(size)
        except BaseException as error:
            raise self._fail(error) from None
        self._received += len(data)
        if not data and self._received < self._length():
            raise self._fail(NoMoreData())
        return data

    def _fail(self, error: BaseException) -> BaseException:
        """Let the response close the connection; return the error for the application."""
        self.failed = True
        self._request.force_close()
        answer: BaseException = _refusals().body_error(error)
        return answer

    def _length(self) -> int:
        return next((int(value) for name, value in self._request.headers if name == "CONTENT-LENGTH"), 0)

    def finish(self) -> bool:
        """Discard the rest after the response; return whether the next request can follow."""
        if not self.failed:
            if self._connection.deadline is not None:
                self.set_deadline(min(self._connection.deadline, monotonic() + _LINGER_SECONDS))
            with suppress(Exception):  # the response has been sent
                return discard(self.read)
        return False


def discard(read: Any) -> bool:
    """Read until the end of the input; return False if that is far away."""
    discarded = 0
    while discarded < _MAX_DISCARDED_BYTES:
        data = read(8192)
        if not data:
            return True
        discarded += len(data)
    return False


def _refusals() -> Any:
    """Return the module of the errors, which gunicorn's master must not load."""
    from gateway.server import refusals  # noqa: PLC0415

    return refusals
