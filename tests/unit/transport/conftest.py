"""A transport on the machine's own clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gateway.app import SystemClock
from gateway.domain.backend import CallContext
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse

Send = Callable[..., UpstreamResponse]


@pytest.fixture
def limits() -> TransportSettings:
    """What one exchange may cost; a test module may say otherwise."""
    return TransportSettings(connect_seconds=2.0, hard_timeout_seconds=5.0, max_reply_bytes=100_000)


@pytest.fixture
def transport(limits: TransportSettings) -> Iterator[UpstreamClient]:
    transport = UpstreamClient(limits, SystemClock())
    yield transport
    transport.close()


@pytest.fixture
def send(transport: UpstreamClient) -> Send:
    """Send a write (POST) or a read (GET) to an address, with so many seconds to go."""
    clock = SystemClock()

    def send(url: str, *, is_write: bool = False, seconds: float = 3.0, body: bytes = b"{}") -> UpstreamResponse:
        request = UpstreamRequest(
            method="POST" if is_write else "GET",
            url=url,
            headers={"Content-Type": "application/json"},
            body=body if is_write else None,
            is_write=is_write,
        )
        return transport.send(request, CallContext("test-request", clock.monotonic() + seconds))

    return send
