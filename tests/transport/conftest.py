"""A transport on the machine's own clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gateway.app import SystemClock
from gateway.domain.ports import Call
from gateway.transport import Limits, Reply, Request, Transport

Send = Callable[..., Reply]


@pytest.fixture
def limits() -> Limits:
    """What one exchange may cost; a test module may say otherwise."""
    return Limits(connect_seconds=2.0, hard_timeout_seconds=5.0, max_reply_bytes=100_000)


@pytest.fixture
def transport(limits: Limits) -> Iterator[Transport]:
    transport = Transport(limits, SystemClock())
    yield transport
    transport.close()


@pytest.fixture
def send(transport: Transport) -> Send:
    """Send a write (POST) or a read (GET) to an address, with so many seconds to go."""
    clock = SystemClock()

    def send(url: str, *, writes: bool = False, seconds: float = 3.0, body: bytes = b"{}") -> Reply:
        request = Request(
            method="POST" if writes else "GET",
            url=url,
            headers={"Content-Type": "application/json"},
            body=body if writes else None,
            writes=writes,
        )
        return transport.send(request, Call("test-request", clock.monotonic() + seconds))

    return send
