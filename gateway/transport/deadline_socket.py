"""A connected socket by a clock, and what has come over it."""

from __future__ import annotations

import re
import socket
import ssl
import time
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from typing import Final

_CHUNK: Final = 64 * 1024
_LONGEST_HEAD: Final = 64 * 1024
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")


class ResponseTooLarge(Exception):
    """The body is longer than the caller wants to have it; the rest was not read."""


class DeadlineSocket:
    """A connected socket, and until when (on time.monotonic) everything that is done with it must be done."""

    __slots__ = ("_sock", "until", "used")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.until = 0.0
        self.used = 0.0

    def send(self, data: bytes) -> None:
        """Send everything or raise TimeoutError."""
        while data:  # as a rule once; gevent's sendall would first ask the system how much the socket takes
            self._arm()
            data = data[self._sock.send(data) :]

    def receive(self) -> bytes:
        """Return what has come, nothing where the other side has closed; raises TimeoutError."""
        self._arm()
        return self._sock.recv(_CHUNK)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def is_reusable(self) -> bool:
        """Tell whether nothing has come since the last reply: what has is a goodbye, or nonsense."""
        try:
            self._sock.settimeout(0.0)
            self._sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    def _arm(self) -> None:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(left)


class Reader:
    """What has come and was not read yet."""

    def __init__(self, connection: DeadlineSocket, most: int) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self.most = most

    def head(self) -> bytes:
        """Return the head of a message, without the empty line behind it."""
        searched = 0
        while True:
            end = _END_OF_HEAD.search(self._buffer, searched)
            if end is not None and end.end() <= _LONGEST_HEAD:
                head = bytes(self._buffer[: end.start()])
                del self._buffer[: end.end()]
                return head
            if len(self._buffer) > _LONGEST_HEAD:
                raise BadStatusLine("its head is too long")
            searched = max(len(self._buffer) - 3, 0)
            if not self._more():
                if not self._buffer:
                    raise RemoteDisconnected("closed without a reply")
                raise BadStatusLine("it ended within the head")

    def exactly(self, length: int) -> bytes:
        """Return so many bytes."""
        while len(self._buffer) < length:
            if not self._more():
                raise IncompleteRead(b"", length - len(self._buffer))
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def line(self) -> bytes:
        """Return a line without its end."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise HTTPException("a line without end")
            if not self._more():
                raise IncompleteRead(b"")
        taken = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return taken.removesuffix(b"\r")

    def rest(self) -> bytes:
        """Return everything until the other side closes."""
        self.check(len(self._buffer))
        while self._more():
            self.check(len(self._buffer))
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    def check(self, length: int) -> None:
        """Raise TooLarge where a body of this length is not wanted."""
        if length > self.most:
            raise ResponseTooLarge

    def is_empty(self) -> bool:
        """Tell whether nothing follows the reply."""
        return not self._buffer

    def _more(self) -> bool:
        came = self._connection.receive()
        self._buffer += came
        return bool(came)
