"""Connections on which a timeout is a total, not a pause between two bytes.

`requests` and urllib3 hand one timeout to the socket, which applies it to each read anew: a backend that drips a byte
a second is never too slow. Here `settimeout(s)` says *everything that follows, within s seconds*; urllib3 calls it
before it sends on a reused connection and again before it waits for the reply, so both halves are bounded.
"""

from __future__ import annotations

import io
import math
import socket
import time
from collections.abc import Callable
from functools import partial
from http.client import BadStatusLine
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    Connection = HTTPConnection
else:
    Connection = object


class DeadlineSocket:
    """A connected socket whose timeout runs from settimeout() on, over all reads and writes together."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._until = math.inf

    def __getattr__(self, name: str) -> Any:
        """Leave everything else to the socket."""
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        """Start the clock: what follows must end within so many seconds."""
        self._until = math.inf if seconds is None else time.monotonic() + seconds

    def sendall(self, data: bytes) -> None:
        """Send everything before the deadline or raise TimeoutError."""
        self.arm()
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Open the reading end, as http.client does for a reply."""
        raw = self._sock.makefile(mode, buffering=0)  # type: ignore[call-overload]  # the mode is "rb"
        return io.BufferedReader(_DeadlineReader(raw, self))

    def arm(self) -> None:
        """Give the next system call what is left; raise TimeoutError where nothing is."""
        if self._until == math.inf:
            self._sock.settimeout(None)
            return
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(left)


class _DeadlineReader(io.RawIOBase):
    """The raw reading end of a DeadlineSocket."""

    def __init__(self, raw: io.RawIOBase, sock: DeadlineSocket) -> None:
        self._raw = raw
        self._socket = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.arm()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Deadlined(Connection):
    """What both kinds of connection have in common: the socket above, and no use of one that idled too long.

    An idle connection may have been closed by the backend at this very moment; a write on it would end as *unknown*
    although nothing was wrong. Not reusing it costs a handshake, an unknown costs an operation.
    """

    _used: float = 0.0

    def __init__(self, *args: Any, idle_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle_seconds = idle_seconds

    def connect(self) -> None:
        super().connect()
        self.sock = DeadlineSocket(self.sock)  # quacks like one
        self.sock.settimeout(self.timeout)  # urllib3 says it again on reuse only

    def getresponse(self) -> Any:
        response = super().getresponse()
        if response.status < 200:  # noqa: PLR2004 - RFC 9110: 1xx, the reply proper is still to come
            response.close()
            raise BadStatusLine("an interim reply; the next request must not take the final one for its own")
        self._used = time.monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        return time.monotonic() - self._used < self._idle_seconds and super().is_connected


class DeadlineHTTPConnection(_Deadlined, HTTPConnection):
    """A plain connection with a total timeout."""


class DeadlineHTTPSConnection(_Deadlined, HTTPSConnection):
    """A TLS connection with a total timeout."""


class DeadlineHTTPPool(HTTPConnectionPool):
    """A pool of the above."""

    ConnectionCls = DeadlineHTTPConnection


class DeadlineHTTPSPool(HTTPSConnectionPool):
    """A pool of the above."""

    ConnectionCls = DeadlineHTTPSConnection


def pools(idle_seconds: float) -> dict[str, Callable[..., HTTPConnectionPool]]:
    """Return what makes pools, by scheme; a pool hands what it does not know itself on to its connections."""
    return {
        "http": partial(DeadlineHTTPPool, idle_seconds=idle_seconds),
        "https": partial(DeadlineHTTPSPool, idle_seconds=idle_seconds),
    }
