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
_MAX_INTERIM_RESPONSES: Final = 8
_HEAD_END: Final = b"\r\n\r\n"
_CONTENT_CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
#: RFC 9110, 5.5: a field value has visible characters, spaces and tabs. Line breaks are checked separately.
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class ResponseTooLarge(Exception):
    """The body is longer than the limit, and was not read to its end."""


class HttpResponse(NamedTuple):
    """A complete response; `keep_alive` tells whether the connection can carry another request."""

    status: int
    headers: CaseInsensitiveDict[str]  # values of headers with the same name are joined by commas
    body: bytes
    keep_alive: bool


def encode_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request as bytes; raises ValueError for a character that the target or a header must not contain."""
    if " " in target or not target.isascii():
        raise ValueError("the request target is not quoted")
    lines = [f"{method} {target} HTTP/1.1\r\n", *[f"{name}: {value}\r\n" for name, value in headers.items()], "\r\n"]
    head = "".join(lines)
    only_own_line_breaks = head.count("\n") == head.count("\r") == len(lines)
    if not only_own_line_breaks or _CONTROL_CHARACTER.search(head):
        raise ValueError("a header contains a line break or a control character")
    return head.encode("latin-1") + body


def read_response(connection: DeadlineSocket, max_bytes: int) -> HttpResponse:
    """Read one response and decompress its body; raises ResponseTooLarge, HTTPException or OSError."""
    reader = ResponseReader(connection, max_bytes)
    try:
        for _ in range(_MAX_INTERIM_RESPONSES + 1):
            reader.read_head()
            if reader.status >= 200:  # noqa: PLR2004 - RFC 9110: 1xx are interim, the final response follows
                break
        else:
            raise BadStatusLine("too many interim responses")
        body = reader.read_body()
    except (HttpParserError, HttpParserUpgrade, ValueError) as error:  # int() refuses a length of thousands of digits
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

    A connection on which anything follows the response must not be used again, but the parser silently skips line
    breaks after a message. So it is fed nothing that follows a head or a body of known length.
    """

    def __init__(self, connection: DeadlineSocket, max_bytes: int) -> None:
        self._connection = connection
        self._max_bytes = max_bytes
        self._parser = HttpResponseParser(self)
        self._unparsed = b""  # received, but not yet fed to the parser
        self._body = bytearray()
        self._in_head = False
        self._complete = False  # the message has been parsed to its end
        self.status = 0
        self.headers: dict[str, str] = {}  # by lower-case name
        self.keep_alive = True

    def close(self) -> None:
        """Break the reference cycle with the parser, so that both are freed without garbage collection."""
        del self._parser

    def on_message_begin(self) -> None:
        """Raise HTTPException if another message follows the response."""
        if self._complete:
            raise HTTPException("data after the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers, which the parser reports after the head, are ignored."""
        if self._in_head:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Record the status, and whether the head allows another request: the parser forgets both after the message."""
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
        """Read the next head, and with it the whole of an interim response.

        Raises BadStatusLine, RemoteDisconnected or the parser's errors.
        """
        self._in_head, self._complete, self.headers = True, False, {}
        head_bytes = 0  # parsed so far
        tail = b""  # the last three bytes that were parsed: the end of the head may arrive in two parts
        while self._in_head:
            data = self._unparsed or self._connection.receive()
            if not data:
                raise (
                    BadStatusLine("closed within the head")
                    if head_bytes
                    else RemoteDisconnected("closed without response")
                )
            end = (tail + data).find(_HEAD_END)
            head = data if end < 0 else data[: end + len(_HEAD_END) - len(tail)]
            head_bytes += len(head)
            if head_bytes > _MAX_HEAD_BYTES:
                raise BadStatusLine("the head is too long")
            self._parser.feed_data(head)
            if end >= 0 and self._in_head:
                raise BadStatusLine("an empty head")  # the parser skips line breaks before a head
            self._unparsed, tail = data[len(head) :], (tail + head)[-3:]
        if self._complete and ("transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"):
            self.keep_alive = False  # a 1xx, 204 or 304 has no body; a server that announces one may still send it

    def read_body(self) -> bytes:
        """Return the body as the server sent it (RFC 9112, section 6.3)."""
        length, coding = self.headers.get("content-length"), self.headers.get("transfer-encoding")
        if self._complete:
            pass  # the response has no body
        elif coding is not None:
            if coding.lower() != "chunked":
                raise HTTPException("a transfer coding that was not requested")
            self._read_chunks()
        elif length is not None:
            self._read_exact(int(length))
        else:
            self._read_to_eof()
        self.keep_alive = self.keep_alive and not self._unparsed
        return bytes(self._body)

    def _read_exact(self, length: int) -> None:
        """Read a body of `length` bytes; raises ResponseTooLarge before anything is read."""
        self._check_size(length)
        while not self._complete:
            data = self._next_data()
            rest_of_body = data[: length - len(self._body)]
            self._parser.feed_data(rest_of_body)
            self._unparsed = data[len(rest_of_body) :]

    def _read_chunks(self) -> None:
        """Read a chunked body; forbid another request on the connection if anything follows the body."""
        # The message ends with CR LF CR LF. The parser skips further line breaks silently, although they are data after
        # the message, so five bytes are kept: these four, and the one before them, which must not be a line break.
        last_bytes = b""
        framing_bytes = 0  # chunk sizes, extensions and trailers that were parsed since the body last grew
        while not self._complete:
            data, body_length = self._next_data(), len(self._body)
            self._feed_chunks(data)
            self._check_size(len(self._body))
            framing_bytes = framing_bytes + len(data) if len(self._body) == body_length else 0
            if framing_bytes > _MAX_HEAD_BYTES:
                raise HTTPException("a chunk extension or trailers that are too long")
            self._unparsed, last_bytes = b"", (last_bytes + data)[-5:]
        is_end_exact = last_bytes.endswith(_HEAD_END) and not last_bytes.startswith((b"\r", b"\n"))
        self.keep_alive = self.keep_alive and is_end_exact

    def _feed_chunks(self, data: bytes) -> None:
        """Feed the parser; data that follows a complete response is not an error of the response."""
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            if not self._complete:
                raise
            self.keep_alive = False

    def _read_to_eof(self) -> None:
        """Read a body that ends with the stream."""
        data = self._unparsed or self._connection.receive()
        while data:
            self._parser.feed_data(data)
            self._check_size(len(self._body))
            data = self._connection.receive()
        self._unparsed = b""

    def _next_data(self) -> bytes:
        """Return unparsed data, received now if there is none; raises IncompleteRead at the end of the stream."""
        data = self._unparsed or self._connection.receive()
        if not data:
            raise IncompleteRead(b"")
        return data

    def _check_size(self, length: int) -> None:
        if length > self._max_bytes:
            raise ResponseTooLarge


def _decompress(body: bytes, coding: str, max_bytes: int) -> bytes:
    """Return a decompressed body, of which no more than the limit is expanded.

    Raises ResponseTooLarge or HTTPException.
    """
    if coding not in _CONTENT_CODINGS:
        raise HTTPException("a content coding that was not requested")
    decompressor = zlib.decompressobj(32 + zlib.MAX_WBITS)  # 32: detects whether the format is gzip or zlib
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
