"""HTTP/1.1: any division of a response into pieces reads like http.client does, or is refused."""

from __future__ import annotations

import gzip
import io
import itertools
import time
import zlib
from http.client import BadStatusLine, HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.deadline_socket import DeadlineSocket
from gateway.transport.http1 import HttpResponse, ResponseTooLarge, encode_request, read_response


class FakeSocket:
    """A socket that receives given pieces and then the end of the stream; each read needs a timeout of its own."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter([*filter(None, pieces), b""])
        self._has_timeout = False

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0
        self._has_timeout = True

    def recv(self, _max_bytes: int) -> bytes:
        assert self._has_timeout
        self._has_timeout = False
        return next(self._pieces)


def read(*pieces: bytes, max_bytes: int = 10_000) -> HttpResponse:
    sock: Any = FakeSocket(*pieces)
    return read_response(DeadlineSocket(sock, time.monotonic() + 60.0), max_bytes)


def read_with_http_client(data: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Read the same with the standard library."""

    class Socket:
        def makefile(self, _mode: str) -> io.BytesIO:
            return io.BytesIO(data)

    sock: Any = Socket()
    response = HTTPResponse(sock)
    response.begin()
    return response.status, [(name.lower(), value) for name, value in response.getheaders()], response.read()


_TOKEN = st.text(st.sampled_from("abcXYZ-09_"), min_size=1, max_size=8).map(lambda text: f"X-{text}")
_VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x85\xa0"), max_size=12)
_BODY = st.binary(max_size=60)
_INTERIM = st.sampled_from([b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"])


@st.composite
def _responses(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw an interim response or nothing, and a valid final one whose body ends in one of three ways."""
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 404, 500, 503]))
    headers = draw(st.lists(st.tuples(_TOKEN, _VALUE), max_size=4, unique_by=lambda pair: pair[0].lower()))
    body = b"" if status in {204, 304} else draw(_BODY)
    framing = draw(st.sampled_from(["length", "chunks", "close"])) if body else "length"
    if framing == "chunks":
        cuts = sorted(draw(st.lists(st.integers(1, max(len(body) - 1, 1)), max_size=3, unique=True)))
        chunks = [body[a:b] for a, b in itertools.pairwise([0, *cuts, len(body)]) if a < b]
        headers.append(("Transfer-Encoding", "chunked"))
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    elif framing == "length":
        headers.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    return draw(_INTERIM), b"HTTP/1.1 %d Reason\r\n%s\r\n" % (status, head) + body


def _divide(data: bytes, more: st.DataObject) -> list[bytes]:
    cuts = sorted(more.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]


@given(_responses(), st.data())
def test_pieces_read_like_http_client(response: tuple[bytes, bytes], more: st.DataObject) -> None:
    """A valid response, divided in any way, has the status, headers and body that the standard library reads."""
    interim, data = response
    message = read(*_divide(interim + data, more))
    status, headers, body = read_with_http_client(data)
    assert (message.status, {name.lower(): value for name, value in message.headers.items()}, message.body) == (
        status,
        dict(headers),
        body,
    )


@given(
    _responses(),
    st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"x", b"HTTP/1.1 200 OK\r\n\r\n"]),
    st.data(),
)
def test_no_division_changes_the_result(response: tuple[bytes, bytes], surplus: bytes, more: st.DataObject) -> None:
    """Byte by byte, in one piece or in between: the same response; it ends the connection if bytes are behind it.

    Surplus bytes that have not been received with the response are found when the connection is used again.
    """
    interim, data = response
    whole, *others = (interim + data + surplus, *_divide(interim + data + surplus, more))
    expected = read(whole)
    assert read(*others)[:3] == expected[:3] == read(*(bytes([byte]) for byte in whole))[:3]
    assert not (surplus and expected.keep_alive)
    assert read(interim + data[:-1], data[-1:] + surplus) == expected


@given(st.binary(max_size=200))
def test_noise_is_refused_and_nothing_else(noise: bytes) -> None:
    """Any bytes are a response, or an HTTPException; no other error is raised."""
    for data in (
        noise,
        b"HTTP/1.1 200 OK\r\n" + noise,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + noise,
    ):
        try:
            read(data)
        except (HTTPException, ResponseTooLarge):
            continue


_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", RemoteDisconnected),
        (b"HTTP/1.1 100 Continue\r\n\r\n", RemoteDisconnected),
        (b"HTTP/1.1 200", BadStatusLine),
        (b"HTTP/1.1 99 Low\r\n\r\n", HTTPException),
        (b"HTTP/1.1 099 Low\r\n\r\n", HTTPException),
        (b"HTTP/1.1 1000 High\r\n\r\n", HTTPException),
        (b"HTTP/0.9 200 OK\r\n\r\n", HTTPException),
        (b"HTTP/2 200 OK\r\n\r\n", HTTPException),
        (b"HTTP/2.0 200 OK\r\n\r\n", HTTPException),
        (b"\r\n\r\n" + _OK + b"\r\n", BadStatusLine),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", HTTPException),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", HTTPException),
        (_OK + b"no colon\r\n\r\n", HTTPException),
        (_OK + b" folded: x\r\n\r\n", HTTPException),
        (_OK + b"Name: x\r\n folded\r\n\r\n", HTTPException),
        (_OK + b"Name : x\r\n\r\n", HTTPException),
        (_OK + b"Name: a\0b\r\n\r\n", HTTPException),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", HTTPException),
        (_OK + b"Content-Length: 2\n\n{}", HTTPException),
        (b"HTTP/1.1 103 Hints\r\n\r\n" * 20, BadStatusLine),
        (_OK + b"Content-Length: -1\r\n\r\n", HTTPException),
        (_OK + b"Content-Length: 2, 2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Length: 0x2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Length: " + b"0" * 5000 + b"2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Length: 3\r\n\r\n{}", IncompleteRead),
        (_OK + b"Content-Length: 99999\r\n\r\n", ResponseTooLarge),
        (_OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HTTPException),
        (_OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", HTTPException),
        (_OK + b"Transfer-Encoding: gzip\r\n\r\n{}", HTTPException),
        (_CHUNKED + b"2\r\n{}x\r\n0\r\n\r\n", HTTPException),
        (_CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", HTTPException),
        (_CHUNKED + b"2\n{}\n0\n\n", HTTPException),
        (_CHUNKED + b"2\r\n{}\r\n0\r\n", IncompleteRead),
        (_CHUNKED + b"1" * 70_000, HTTPException),
        (_CHUNKED + b"2;" + b"x" * 70_000, HTTPException),
        (_OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}", mtime=0)[:-9], IncompleteRead),
        (
            _OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{", mtime=0) + gzip.compress(b"}", mtime=0),
            HTTPException,
        ),
        (_OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 20_000, mtime=0), ResponseTooLarge),
        (_OK + b"\r\n" + b"x" * 10_001, ResponseTooLarge),
        (_CHUNKED + b"2711\r\n" + b"x" * 10_001, ResponseTooLarge),
        (_OK + b"X: " + b"x" * 70_000, BadStatusLine),
    ],
)
def test_what_is_refused(data: bytes, error: type[Exception]) -> None:
    """What two readers could read differently, what ends too early, and what is too large."""
    with pytest.raises(error):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200\r\nContent-Length:2\r\n\r\n{}",
        _OK + b"Content-Length: 2 \r\n\r\n{}",
        _OK + b"Transfer-Encoding: Chunked\r\n\r\n2;ext=1\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        _OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}", mtime=0),
        _OK + b"Content-Encoding: X-GZip\r\n\r\n" + gzip.compress(b"{}", mtime=0),
        _OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"{}"),
        _OK + b"Content-Encoding: identity\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\n{}",
    ],
)
def test_what_is_accepted(data: bytes) -> None:
    """No reason phrase, extensions, trailers, and compression that was not requested."""
    response = read(data)
    assert (response.body, "x-trailer" in response.headers) == (b"{}", False)


def test_an_empty_body_needs_no_decompression() -> None:
    """A 204 may carry the Content-Encoding of a body that it does not have."""
    assert read(b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n").body == b""


@pytest.mark.parametrize(
    ("data", "keep_alive"),
    [
        (_OK + b"Content-Length: 2\r\n\r\n{}", True),
        (_OK + b"Content-Length: 0\r\n\r\n", True),
        (_CHUNKED + b"0\r\n\r\n", True),
        (_CHUNKED + b"2\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", True),
        (b"HTTP/1.1 103 Hints\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\n{}", True),
        (_OK + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}", False),
        (_OK + b"Content-Length: 2\r\nConnection: Close\r\n\r\n{}", False),
        (_OK + b"\r\n{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}", True),
        # RFC 9110, 6.4.1: these have no body, so one that is announced may follow as something else
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 103 Hints\r\nContent-Length: 2\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\n{}", False),
    ],
)
@pytest.mark.parametrize("surplus", [b"", b"x", b"\n", b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_when_another_request_may_follow(data: bytes, keep_alive: bool, surplus: bytes) -> None:
    """Only if the response said where it ends, nothing is behind it, and it allows it (RFC 9112, 9.3)."""
    assert read(data + surplus).keep_alive is (keep_alive and not surplus)


def test_header_names_are_case_insensitive() -> None:
    """Several headers of one name are joined by commas."""
    headers = read(_OK + b"Content-Length: 0\r\nVia: a\r\nvIA: b\r\n\r\n").headers
    assert (headers["VIA"], headers.get("via"), "Via" in headers, headers.get("other")) == ("a, b", "a, b", True, None)


@pytest.mark.parametrize("value", [" " * 60_000, "\t" * 60_000, " \t" * 30_000, "a" + " " * 60_000 + "b"])
def test_the_worst_header_takes_linear_time(value: str) -> None:
    """No pattern backtracks: optional blanks on both sides of a value take 20 seconds for 60 KB of blanks."""
    data = _OK + f"X: {value}\r\nContent-Length: 0\r\n\r\n".encode()
    assert read(data).headers["x"] == value.strip(" \t")
    assert encode_request("GET", "/", {"X": value}, b"") == f"GET / HTTP/1.1\r\nX: {value}\r\n\r\n".encode()


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "\r\n\r\n", "a\r\n", "a\0b", "a\x1bb", "a\x7fb"])
@pytest.mark.parametrize("is_name", [False, True])
def test_a_header_cannot_contain_a_line_break(value: str, is_name: bool) -> None:
    """A line break would start another header, or another request; control characters are refused as well."""
    headers = {value: "x"} if is_name else {"X-Request-Id": value}
    with pytest.raises(ValueError, match="line break"):
        encode_request("GET", "/", headers, b"")


@pytest.mark.parametrize("target", ["/a b", "/ü", "/a HTTP/1.1\r\nX: y", "/a\r\n"])
def test_a_target_must_be_quoted(target: str) -> None:
    """A blank or a line break would end the request line."""
    with pytest.raises(ValueError, match=r"not quoted|line break"):
        encode_request("GET", target, {}, b"")


def test_a_request_is_one_piece() -> None:
    """Request line, headers, an empty line and the body, in the given order; a tab is allowed in a value."""
    data = encode_request("POST", "/a?b", {"Host": "h", "X": "ü\tü"}, b"{}")
    assert data == b"POST /a?b HTTP/1.1\r\nHost: h\r\nX: \xfc\t\xfc\r\n\r\n{}"
