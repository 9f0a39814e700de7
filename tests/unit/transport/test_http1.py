"""HTTP/1.1 as we speak it: whatever is sent in whatever pieces is read as http.client reads it, or refused."""

from __future__ import annotations

import gzip
import io
import itertools
import socket
import time
import zlib
from collections.abc import Iterator
from http.client import BadStatusLine, HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport import deadline_socket as connections
from gateway.transport.deadline_socket import DeadlineSocket, ResponseTooLarge
from gateway.transport.http1 import Headers, Message, read_reply, write_request
from tests.conftest import VirtualClock

Pair = tuple[DeadlineSocket, socket.socket, socket.socket]


class Pieces:
    """A socket from which given pieces come, and then the end; it must not be used without a timeout."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter([*filter(None, pieces), b""])
        self._armed = False

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0
        self._armed = True

    def recv(self, _most: int) -> bytes:
        assert self._armed
        self._armed = False
        return next(self._pieces)


def read(*pieces: bytes, most: int = 10_000) -> Message:
    connection = DeadlineSocket(Pieces(*pieces))  # type: ignore[arg-type] # quacks like a socket
    connection.until = time.monotonic() + 60.0
    return read_reply(connection, most)


def by_http_client(data: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Read the same with the standard library."""

    class Socket:
        def makefile(self, _mode: str) -> io.BytesIO:
            return io.BytesIO(data)

    response = HTTPResponse(Socket())  # type: ignore[arg-type] # all that it needs
    response.begin()
    return response.status, [(name.lower(), value) for name, value in response.getheaders()], response.read()


_TOKEN = st.text(st.sampled_from("abcXYZ-09_"), min_size=1, max_size=8).map(lambda text: f"X-{text}")
_VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x85\xa0"), max_size=12)
_BODY = st.binary(max_size=60)


@st.composite
def _replies(draw: st.DrawFn) -> bytes:
    """Draw a sound reply: any status, headers, and a body that ends in one of three ways."""
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 404, 500, 503]))
    headers = draw(st.lists(st.tuples(_TOKEN, _VALUE), max_size=4, unique_by=lambda pair: pair[0].lower()))
    body = b"" if status in {204, 304} else draw(_BODY)
    ending = draw(st.sampled_from(["length", "chunks", "close"])) if body else "length"
    if ending == "chunks":
        cuts = sorted(draw(st.lists(st.integers(1, max(len(body) - 1, 1)), max_size=3, unique=True)))
        parts = [body[a:b] for a, b in itertools.pairwise([0, *cuts, len(body)]) if a < b]
        headers.append(("Transfer-Encoding", "chunked"))
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    elif ending == "length":
        headers.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    return b"HTTP/1.1 %d Said\r\n%s\r\n" % (status, head) + body


@given(_replies(), st.data())
def test_in_any_pieces_it_is_what_http_client_reads(data: bytes, more: st.DataObject) -> None:
    """A sound reply, however the network cuts it, has the status, headers and body that the standard library sees."""
    cuts = sorted(more.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in itertools.pairwise([0, *cuts, len(data)])]
    message = read(*pieces)
    status, headers, body = by_http_client(data)
    assert (message.status, dict(message.headers), message.body) == (status, dict(headers), body)


@given(st.binary(max_size=200))
def test_noise_is_refused_and_nothing_else(noise: bytes) -> None:
    """Whatever comes, it is a reply, or an HTTPException; no other error gets out."""
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


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", RemoteDisconnected),
        (b"HTTP/1.1 200", BadStatusLine),
        (b"HTTP/1.1 99 Low\r\n\r\n", BadStatusLine),
        (b"HTTP/2 200 OK\r\n\r\n", BadStatusLine),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", HTTPException),
        (b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", HTTPException),
        (b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n", HTTPException),
        (b"HTTP/1.1 103 Hints\r\n\r\n" * 20, BadStatusLine),
        (_OK + b"Content-Length: -1\r\n\r\n", HTTPException),
        (_OK + b"Content-Length: 2, 2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Length: 0x2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Length: 3\r\n\r\n{}", IncompleteRead),
        (_OK + b"Content-Length: 99999\r\n\r\n", ResponseTooLarge),
        (_OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", HTTPException),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n", HTTPException),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", HTTPException),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", IncompleteRead),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000, HTTPException),
        (_OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", HTTPException),
        (_OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}", mtime=0)[:-9], IncompleteRead),
        (_OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 20_000, mtime=0), ResponseTooLarge),
        (_OK + b"\r\n" + b"x" * 10_001, ResponseTooLarge),
    ],
)
def test_what_is_refused(data: bytes, error: type[Exception]) -> None:
    """What two readers could read differently, what ends too early, and what is too large."""
    with pytest.raises(error):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        b"HTTP/1.1 200\r\nContent-Length:2\r\n\r\n{}",
        _OK + b"Transfer-Encoding: Chunked\r\n\r\n2;ext=1\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        _OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}", mtime=0),
        _OK + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(b"{}"),
        _OK + b"Content-Encoding: identity\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\n{}",
    ],
)
def test_what_is_borne_with(data: bytes) -> None:
    """Line feeds alone, no reason, extensions, trailers, compression that nobody asked for."""
    assert read(data).body == b"{}"


@pytest.mark.parametrize(
    ("data", "reusable"),
    [
        (_OK + b"Content-Length: 2\r\n\r\n{}", True),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (_OK + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}", False),
        (_OK + b"Content-Length: 2\r\nConnection: Close\r\n\r\n{}", False),
        (_OK + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n", False),
        (_OK + b"\r\n{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}", True),
    ],
)
def test_when_another_request_may_follow(data: bytes, reusable: bool) -> None:
    """Only where the reply said where it ends, nothing came behind it, and nobody said goodbye (RFC 9112, 9.3)."""
    assert read(data).reusable is reusable


def test_headers_have_names_in_any_case() -> None:
    """Asked for in any case; several of one name are one, joined."""
    headers: Any = read(_OK + b"Content-Length: 0\r\nVia: a\r\nvIA: b\r\n\r\n").headers
    assert (headers["VIA"], headers.get("via"), "Via" in headers) == ("a, b", "a, b", True)
    assert (headers.get("other"), headers.get("other", "x"), 7 in headers) == (None, "x", False)
    assert isinstance(headers, Headers)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "\r\n\r\n", "a\r\n"])
def test_no_header_ends_its_line(value: str) -> None:
    """A value with the end of a line in it would be another header, or another request: it is not sent."""
    with pytest.raises(ValueError, match="end of a line"):
        write_request("GET /", {"X-Request-Id": value}, b"")


def test_a_request_is_one_piece() -> None:
    """Start, headers, an empty line and the body, in the order in which they were given."""
    told = write_request("POST /a?b", {"Host": "h", "X": "ü"}, b"{}")
    assert told == b"POST /a?b HTTP/1.1\r\nHost: h\r\nX: \xfc\r\n\r\n{}"


@pytest.fixture
def pair(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Two ends of one connection, ours by a clock that is turned by hand."""
    monkeypatch.setattr(connections, "time", clock)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = DeadlineSocket(ours)
        connection.until = clock.monotonic() + 5.0
        yield connection, ours, theirs


def test_the_deadline_is_a_total(pair: Any, clock: VirtualClock) -> None:
    """Each single read is quick, and has what is left; together they end when the time is over."""
    connection, ours, theirs = pair
    for left in (5.0, 3.75, 2.5, 1.25):
        theirs.sendall(b"a")
        assert connection.receive() == b"a"
        assert ours.gettimeout() == left
        clock.sleep(1.25)
    for act in (connection.receive, lambda: connection.send(b"late")):
        with pytest.raises(TimeoutError, match="the deadline has passed"):
            act()


def test_what_came_meanwhile_spoils_a_connection(pair: Any) -> None:
    """Quiet is what says nothing; a goodbye, a word too many or a broken socket is not."""
    connection, ours, theirs = pair
    assert connection.is_reusable()
    theirs.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert not connection.is_reusable()
    theirs.close()
    connection.close()
    assert not connection.is_reusable()
    assert ours.fileno() == -1


def test_a_line_in_pieces() -> None:
    """The length of a chunk may come in two pieces, and so may the end of its line."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert read(head, b"0", b"5\r", b"\nhel", b"lo\r\n0\r\n", b"\r\n").body == b"hello"


def test_a_socket_that_takes_little_at_a_time() -> None:
    """What a socket does not take at once is sent after it, in order, each piece within the time that is left."""

    class Narrow:
        def __init__(self) -> None:
            self.taken = b""
            self.armed = 0

        def settimeout(self, seconds: float) -> None:
            assert 0 < seconds <= 60.0
            self.armed += 1

        def send(self, data: bytes) -> int:
            self.taken += data[:3]
            return min(len(data), 3)

    narrow = Narrow()
    connection = DeadlineSocket(narrow)  # type: ignore[arg-type] # quacks like a socket
    connection.until = time.monotonic() + 60.0
    connection.send(b"abcdefgh")
    assert (narrow.taken, narrow.armed) == (b"abcdefgh", 3)
