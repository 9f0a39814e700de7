"""What a failure after the request was sent means: its kind for a read, an unknown outcome for a write."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Final

import pytest

from gateway.domain.errors import BackendReplyInvalid, BackendTimeout, BackendUnavailable, GatewayError, OutcomeUnknown
from gateway.transport import UpstreamResponse
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

pytestmark = pytest.mark.loopback

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED: Final = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_LONG: Final = reply(b"{" + b" " * 500 + b"}")
_MEBIBYTE: Final = b" " * 1024 * 1024


def drip(message: bytes) -> Callable[[], Iterator[bytes | float]]:
    """Send a byte every ten milliseconds: no single read takes long."""
    return lambda: chain.from_iterable((bytes([byte]), 0.01) for byte in message)


def endless(head: bytes, part: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: chain([head], repeat(part))


#: name: (the server's script, the error of a read, the seconds until the deadline)
FAILURES: Final[dict[str, tuple[Script, type[GatewayError], float]]] = {
    "reset before the status line": ([Step.RESET], BackendUnavailable, 3.0),
    "closed before the status line": ([], BackendUnavailable, 3.0),
    "reset after half the head": ([_HEAD, Step.RESET], BackendUnavailable, 3.0),
    "reset after half the body": ([reply(b"{", length=100), 0.05, Step.RESET], BackendUnavailable, 3.0),
    "closed within the body": ([reply(b'{"a":', length=100)], BackendReplyInvalid, 3.0),
    "closed within a chunk": ([_CHUNKED + b'20\r\n{"a":'], BackendReplyInvalid, 3.0),
    "closed before the last chunk": ([_CHUNKED + b"2\r\n{}\r\n"], BackendReplyInvalid, 3.0),
    "a chunk without a length": ([_CHUNKED + b"xyz\r\n{}\r\n"], BackendReplyInvalid, 3.0),
    "silence": ([30.0], BackendTimeout, 0.2),
    "silence after the head": ([reply(b"", length=100), 30.0], BackendTimeout, 0.2),
    "a dripping head": (drip(_LONG), BackendTimeout, 0.3),
    "a dripping body": (lambda: chain([_LONG[:60]], drip(_LONG[60:])()), BackendTimeout, 0.3),
    "garbage": ([b"SSH-2.0-OpenSSH_9.6\r\n"], BackendReplyInvalid, 3.0),
    "an endless head": (endless(_HEAD, b"X-A: 1\r\n" * 100), BackendReplyInvalid, 3.0),
    "an endless header line": (endless(_HEAD + b"X-A: ", b"a" * 10_000), BackendReplyInvalid, 3.0),
    "endless trailers": (endless(_CHUNKED + b"0\r\n", b"X-A: 1\r\n" * 100), BackendReplyInvalid, 3.0),
    "an endless chunk extension": (endless(_CHUNKED + b"2;", b"a" * 10_000), BackendReplyInvalid, 3.0),
    "two lengths": ([reply(b"{}", "Content-Length: 77")], BackendReplyInvalid, 3.0),
    "an interim response alone": ([b"HTTP/1.1 102 Processing\r\n\r\n", Step.KEEP], BackendTimeout, 0.2),
    "a switch of protocols": ([b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Step.KEEP], BackendReplyInvalid, 3.0),
    "broken gzip": ([reply(b"no gzip at all", "Content-Encoding: gzip")], BackendReplyInvalid, 3.0),
    "a gzip bomb": ([reply(gzip.compress(_MEBIBYTE * 20), "Content-Encoding: gzip")], BackendReplyInvalid, 3.0),
    "too large": ([reply(_MEBIBYTE)], BackendReplyInvalid, 3.0),
    "too large, of unknown length": ([_HEAD + b"\r\n" + _MEBIBYTE], BackendReplyInvalid, 3.0),
    "a gibibyte": (endless(reply(b"", length=2**30), _MEBIBYTE), BackendReplyInvalid, 3.0),
    "endless chunks": (endless(_CHUNKED, b"400\r\n" + b" " * 1024 + b"\r\n"), BackendReplyInvalid, 3.0),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_read_reports_the_kind_of_failure(name: str, send: Callable[..., UpstreamResponse]) -> None:
    """The error of a read names the kind, and the read is not sent again."""
    script, error, seconds = FAILURES[name]
    with RawServer(script) as server, pytest.raises(GatewayError) as caught:
        send(server.url, seconds=seconds)
    assert caught.type is error
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", FAILURES)
def test_a_write_is_unknown_and_sent_once(name: str, send: Callable[..., UpstreamResponse]) -> None:
    """The outcome of a write that failed after it was sent is unknown, and it was sent exactly once."""
    script, _, seconds = FAILURES[name]
    with RawServer(script) as server, pytest.raises(OutcomeUnknown):
        send(server.url, is_write=True, seconds=seconds)
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["a dripping head", "a dripping body", "a gibibyte", "endless chunks"])
def test_a_response_that_takes_too_long_is_not_read_to_its_end(
    name: str, send: Callable[..., UpstreamResponse]
) -> None:
    """The deadline and the size are totals: the client closes the connection while the server is still sending."""
    script, _, seconds = FAILURES[name]
    with RawServer(script) as server, pytest.raises(GatewayError):
        send(server.url, seconds=seconds)
    assert server.finished == 0


@pytest.mark.parametrize("is_write", [False, True])
def test_a_server_that_never_reads_does_not_block(is_write: bool, send: Callable[..., UpstreamResponse]) -> None:
    """The deadline includes sending, on a new connection too."""
    with RawServer([30.0], reads=False) as server, pytest.raises(BackendTimeout if not is_write else OutcomeUnknown):
        send(server.url, is_write=is_write, seconds=1.0, body=b" " * 50_000_000)
