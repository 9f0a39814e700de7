"""One exchange of HTTP/1.1 on a connected socket: written at once, read by a clock, bounded in size.

Ours and not http.client's, for this is the path of every call: one system call where that one needs two, and no mail
parser for a dozen headers. With the adapter above it, an exchange costs a quarter of what it cost through urllib3
(measured: 190 instead of 800 µs of CPU against a server on the same machine).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from http.client import BadStatusLine, HTTPException, IncompleteRead
from typing import Final, NamedTuple

from gateway.transport.deadline_socket import DeadlineSocket, Reader, ResponseTooLarge

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_HEADER_LINES: Final = re.compile(r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\n]*?)[ \t]*\r?$", re.MULTILINE)
_LENGTH: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_MOST_INTERIM: Final = 8
_NO_BODY: Final = frozenset({204, 304})


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


def write_request(start: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request as bytes; raises ValueError where a header would end its line."""
    lines = [f"{start} HTTP/1.1\r\n", *[f"{name}: {value}\r\n" for name, value in headers.items()], "\r\n"]
    head = "".join(lines)
    if not head.count("\n") == head.count("\r") == len(lines):
        raise ValueError("a header holds the end of a line")
    return head.encode("latin-1") + body


def read_reply(connection: DeadlineSocket, most: int) -> Message:
    """Read one reply with a body of at most so many bytes, unpacked; raises TooLarge, HTTPException or OSError."""
    reader = Reader(connection, most)
    status, minor, headers = _read_head(reader.head())
    for _ in range(_MOST_INTERIM):
        if status >= 200:  # noqa: PLR2004 - RFC 9110: 1xx are interim, the reply proper is still to come
            break
        status, minor, headers = _read_head(reader.head())
    else:
        raise BadStatusLine("interim replies without end")
    body, bounded = (b"", True) if status in _NO_BODY else _read_body(reader, headers)
    coding = headers.get("content-encoding", "identity")
    if coding != "identity":
        body = _unpack(body, coding, most)
    kept = "keep-alive" if minor == b"0" else "close"
    said = kept in headers.get("connection", "").lower()
    return Message(status, Headers(headers), body, bounded and reader.is_empty() and said == (minor == b"0"))


def _read_head(head: bytes) -> tuple[int, bytes, dict[str, str]]:
    """Return status, minor version, and headers under names in lower case."""
    start, _, rest = head.partition(b"\n")
    said = _STATUS_LINE.fullmatch(start.removesuffix(b"\r"))
    if said is None:
        raise BadStatusLine("no status line")
    headers: dict[str, str] = {}
    if rest:
        text = rest.decode("latin-1")
        found = _HEADER_LINES.findall(text)
        if len(found) <= text.count("\n"):
            raise HTTPException("a header that is none")
        for spelt, value in found:
            name = spelt.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(said[2]), said[1], headers


def _read_body(reader: Reader, headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """Return the body, and whether its own words say where it ends (RFC 9112, section 6.3)."""
    coding = headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise HTTPException("a transfer coding that nobody asked for")
        return _read_chunks(reader), True
    told = headers.get("content-length")
    if told is None:
        return reader.rest(), False
    if not _LENGTH.fullmatch(told):
        raise HTTPException("a length that is none, or two of them")
    reader.check(int(told))
    return reader.exactly(int(told)), True


def _read_chunks(reader: Reader) -> bytes:
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
        raise ResponseTooLarge
    if not unpacker.eof:
        raise IncompleteRead(b"")
    return unpacked
