"""One exchange of HTTP/1.1 on a connected socket: written at once, read by a clock, bounded in size.

Ours and not http.client's, for this is the path of every call: one system call where that one needs two, and no mail
parser for a dozen headers. With the adapter above it, an exchange costs a quarter of what it cost through urllib3
(measured: 190 instead of 800 µs of CPU against a server on the same machine).
"""

from __future__ import annotations

import re
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Mapping
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from typing import Final, NamedTuple

_CHUNK: Final = 64 * 1024
_LONGEST_HEAD: Final = 64 * 1024
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_HEADER_LINE: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_LENGTH: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_MOST_INTERIM: Final = 8
_NO_BODY: Final = frozenset({204, 304})


class TooLarge(Exception):
    """The body is longer than the caller wants to have it; the rest was not read."""


class Headers(dict[str, str]):
    """The headers of a reply; names in any case, several of one name joined by commas."""

    def __getitem__(self, name: str) -> str:
        """Return a value; raises KeyError."""
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        """Tell whether there is one of this name."""
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override] # of fewer types
        """Return a value, or the default."""
        return super().get(name.lower(), default)


class Message(NamedTuple):
    """A reply, whole; `reusable` tells whether another request may follow on this connection."""

    status: int
    headers: Headers
    body: bytes
    reusable: bool


class Wire:
    """A connected socket, and until when (on time.monotonic) everything that is done with it must be done."""

    __slots__ = ("_sock", "until", "used")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.until = 0.0
        self.used = 0.0

    def send(self, data: bytes) -> None:
        """Send everything or raise TimeoutError."""
        self._arm()
        self._sock.sendall(data)

    def receive(self) -> bytes:
        """Return what has come, nothing where the other side has closed; raises TimeoutError."""
        self._arm()
        return self._sock.recv(_CHUNK)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def is_quiet(self) -> bool:
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


def write_request(start: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """Return a request as bytes; raises ValueError where a header would end its line."""
    lines = [f"{start} HTTP/1.1\r\n", *(f"{name}: {value}\r\n" for name, value in headers), "\r\n"]
    head = "".join(lines)
    if not head.count("\n") == head.count("\r") == len(lines):
        raise ValueError("a header holds the end of a line")
    return head.encode("latin-1") + body


def read_reply(wire: Wire, most: int) -> Message:
    """Read one reply with a body of at most so many bytes, unpacked; raises TooLarge, HTTPException or OSError."""
    reader = _Reader(wire, most)
    status, minor, headers = _read_head(reader.head())
    for _ in range(_MOST_INTERIM):
        if status >= 200:  # noqa: PLR2004 - RFC 9110: 1xx are interim, the reply proper is still to come
            break
        status, minor, headers = _read_head(reader.head())
    else:
        raise BadStatusLine("interim replies without end")
    body, bounded = (b"", True) if status in _NO_BODY else _read_body(reader, headers)
    if (coding := headers.get("Content-Encoding")) not in {None, "identity"}:
        body = _unpack(body, str(coding), most)
    kept = "keep-alive" if minor == b"0" else "close"
    said = kept in headers.get("Connection", "").lower()  # type: ignore[union-attr] # there is a default
    return Message(status, headers, body, bounded and reader.is_empty() and said == (minor == b"0"))


class _Reader:
    """What has come and was not read yet."""

    def __init__(self, wire: Wire, most: int) -> None:
        self._wire = wire
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
            raise TooLarge

    def is_empty(self) -> bool:
        """Tell whether nothing follows the reply."""
        return not self._buffer

    def _more(self) -> bool:
        came = self._wire.receive()
        self._buffer += came
        return bool(came)


def _read_head(head: bytes) -> tuple[int, bytes, Headers]:
    start, _, rest = head.partition(b"\n")
    said = _STATUS_LINE.fullmatch(start.removesuffix(b"\r"))
    if said is None:
        raise BadStatusLine("no status line")
    headers = Headers()
    for line in rest.decode("latin-1").split("\n") if rest else ():
        found = _HEADER_LINE.fullmatch(line.removesuffix("\r"))
        if found is None:
            raise HTTPException("a header that is none")
        name = found[1].lower()
        headers[name] = f"{headers[name]}, {found[2]}" if name in headers else found[2]
    return int(said[2]), said[1], headers


def _read_body(reader: _Reader, headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """Return the body, and whether its own words say where it ends (RFC 9112, section 6.3)."""
    coding = headers.get("Transfer-Encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise HTTPException("a transfer coding that nobody asked for")
        return _read_chunks(reader), True
    told = headers.get("Content-Length")
    if told is None:
        return reader.rest(), False
    if not _LENGTH.fullmatch(told):
        raise HTTPException("a length that is none, or two of them")
    reader.check(int(told))
    return reader.exactly(int(told)), True


def _read_chunks(reader: _Reader) -> bytes:
    body = bytearray()
    while True:
        said = _CHUNK_LINE.fullmatch(reader.line())
        if said is None:
            raise HTTPException("a chunk of no length")
        length = int(said[1], 16)
        if length == 0:
            while reader.line():  # trailers; they say nothing that anybody asks for
                pass
            return bytes(body)
        reader.check(len(body) + length)
        body += reader.exactly(length)
        if reader.line():
            raise HTTPException("a chunk longer than it said")


def _unpack(body: bytes, coding: str, most: int) -> bytes:
    """Undo a compression, to a bounded size: a few bytes may unpack to any number."""
    if coding.lower() not in {"gzip", "x-gzip", "deflate"}:
        raise HTTPException("a content coding that nobody asked for")
    unpacker = zlib.decompressobj(32 + zlib.MAX_WBITS)  # gzip and zlib alike
    try:
        unpacked = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise HTTPException("it cannot be unpacked") from error
    if len(unpacked) > most:
        raise TooLarge
    if not unpacker.eof:
        raise IncompleteRead(b"")
    return unpacked
