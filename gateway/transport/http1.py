"""Encodes HTTP/1.1 requests and reads responses; httptools (llhttp) parses heads, chunks, trailers and keep-alive.

Only GET, POST, PUT, PATCH and DELETE are sent. A response to HEAD would be read wrongly: the parser does not know the
request's method.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from requests.structures import CaseInsensitiveDict

from gateway.transport.deadline_socket import DeadlineSocket

_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_INTERIM: Final = 8
_HEAD_END: Final = b"\r\n\r\n"
_NO_BODY: Final = frozenset({204, 304})
_CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
#: RFC 9110, 5.5: a field value has visible characters, spaces and tabs.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class ResponseTooLarge(Exception):
    """The body is longer than the limit; the rest was not read."""


class HttpResponse(NamedTuple):
    """A complete response; `keep_alive` tells whether the connection can carry another request."""

    status: int
    headers: CaseInsensitiveDict[str]  # several of one name are joined by commas
    body: bytes
    keep_alive: bool


def encode_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request as bytes; raises ValueError for a character that its target or a header cannot carry."""
    if " " in target or not target.isascii():
        raise ValueError("the request target is not quoted")
    lines = [f"{method} {target} HTTP/1.1\r\n", *[f"{name}: {value}\r\n" for name, value in headers.items()], "\r\n"]
    head = "".join(lines)
    if not head.count("\n") == head.count("\r") == len(lines) or _CONTROL.search(head):
        raise ValueError("a header contains a line break or a control character")
    return head.encode("latin-1") + body


def read_response(connection: DeadlineSocket, max_bytes: int) -> HttpResponse:
    """Read one response and decompress its body; raises ResponseTooLarge, HTTPException or OSError."""
    reader = ResponseReader(connection, max_bytes)
    try:
        for _ in range(_MAX_INTERIM + 1):
            reader.read_head()
            if reader.status >= 200:  # noqa: PLR2004 - RFC 9110: 1xx are interim, the final response follows
                break
        else:
            raise BadStatusLine("too many interim responses")
        body = reader.read_body()
    except (HttpParserError, HttpParserUpgrade, ValueError) as error:  # ValueError: a length of thousands of digits
        raise HTTPException("not a valid HTTP response") from error
    finally:
        reader.close()
    headers = reader.headers
    coding = headers.get("content-encoding", "identity").lower()
    if body and coding != "identity":
        body = _decompress(body, coding, max_bytes)
    return HttpResponse(reader.status, CaseInsensitiveDict(headers), body, reader.keep_alive)


class ResponseReader:
    """Feeds received data to a parser, which calls the methods `on_…`.

    The parser is fed each head by itself, and a body of known length to its last byte, because it skips line breaks
    after a message without a word: a connection with anything behind its response must not be used again.
    """

    def __init__(self, connection: DeadlineSocket, max_bytes: int) -> None:
        self._connection = connection
        self._max_bytes = max_bytes
        self._parser = HttpResponseParser(self)
        self._data = b""  # received, not parsed yet
        self._body = bytearray()
        self._in_head = False
        self._complete = False
        self.status = 0
        self.headers: dict[str, str] = {}  # by lower-case name
        self.keep_alive = True

    def close(self) -> None:
        """Break the reference cycle with the parser, so that no garbage collection is needed."""
        del self._parser

    def on_message_begin(self) -> None:
        """Refuse a second message behind the response."""
        if self._complete:
            raise HTTPException("data after the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers are ignored."""
        if self._in_head:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Record the status and whether the head allows another request; both are unknown after the message."""
        self._in_head = False
        self.status = self._parser.get_status_code()
        self.keep_alive = self.keep_alive and self._parser.should_keep_alive()
        if self.status < 100 or self._parser.get_http_version() not in {"1.0", "1.1"}:  # noqa: PLR2004 - RFC 9110
            raise BadStatusLine("not a status of HTTP/1.0 or HTTP/1.1")

    def on_body(self, data: bytes) -> None:
        """Add a part of the body."""
        self._body += data

    def on_message_complete(self) -> None:
        """Record the end of the message."""
        self._complete = True

    def read_head(self) -> None:
        """Read the next head; an interim response is nothing else."""
        self._in_head, self._complete, self.headers = True, False, {}
        size, tail = 0, b""
        while self._in_head:
            self._data = self._data or self._connection.receive()
            if not self._data:
                raise BadStatusLine("closed within the head") if size else RemoteDisconnected("closed without response")
            end = (tail + self._data).find(_HEAD_END)
            head = self._data if end < 0 else self._data[: end + len(_HEAD_END) - len(tail)]
            size += len(head)
            if size > _MAX_HEAD_BYTES:
                raise BadStatusLine("the head is too long")
            self._parser.feed_data(head)
            if end >= 0 and self._in_head:
                raise BadStatusLine("an empty head")
            self._data, tail = self._data[len(head) :], (tail + head)[1 - len(_HEAD_END) :]
        if self._complete and ("transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"):
            self.keep_alive = False  # 1xx, 204 and 304 have no body; a server that announces one may send it later

    def read_body(self) -> bytes:
        """Return the body as the server sent it (RFC 9112, section 6.3)."""
        length, coding = self.headers.get("content-length"), self.headers.get("transfer-encoding")
        if self._complete:
            pass
        elif coding is not None:
            if coding.lower() != "chunked":
                raise HTTPException("a transfer coding that was not requested")
            self._read_chunks()
        elif length is not None:
            self._read_exact(int(length))
        else:
            self._read_to_eof()
        self.keep_alive = self.keep_alive and not self._data
        return bytes(self._body)

    def _read_exact(self, length: int) -> None:
        self._check_size(length)
        while not self._complete:
            data = (self._data or self._receive())[: length - len(self._body)]
            self._parser.feed_data(data)
            self._data = self._data[len(data) :]

    def _read_chunks(self) -> None:
        tail, overhead = b"", 0
        while not self._complete:
            data, size = self._data or self._receive(), len(self._body)
            self._feed_chunks(data)
            self._check_size(len(self._body))
            overhead = overhead + len(data) if len(self._body) == size else 0
            if overhead > _MAX_HEAD_BYTES:
                raise HTTPException("a chunk extension or trailers that are too long")
            self._data, tail = b"", (tail + data)[-5:]
        # The last line and an empty one; more line breaks would have been skipped.
        self.keep_alive = self.keep_alive and tail[1:] == _HEAD_END and tail[:1] not in b"\r\n"

    def _feed_chunks(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            if not self._complete:
                raise
            self.keep_alive = False  # the response is complete, and there is something behind it

    def _read_to_eof(self) -> None:
        data = self._data or self._connection.receive()
        while data:
            self._parser.feed_data(data)
            self._check_size(len(self._body))
            data = self._connection.receive()
        self._data = b""

    def _receive(self) -> bytes:
        self._data = self._connection.receive()
        if not self._data:
            raise IncompleteRead(b"")
        return self._data

    def _check_size(self, length: int) -> None:
        if length > self._max_bytes:
            raise ResponseTooLarge


def _decompress(body: bytes, coding: str, max_bytes: int) -> bytes:
    """Return a body decompressed to at most `max_bytes`: a few bytes may expand to any number."""
    if coding not in _CODINGS:
        raise HTTPException("a content coding that was not requested")
    decompressor = zlib.decompressobj(32 + zlib.MAX_WBITS)  # detects gzip and zlib
    try:
        decompressed = decompressor.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise HTTPException("the body cannot be decompressed") from error
    if len(decompressed) > max_bytes:
        raise ResponseTooLarge
    if not decompressor.eof:
        raise IncompleteRead(b"")
    if decompressor.unused_data:
        raise HTTPException("data after the compressed body")
    return decompressed
