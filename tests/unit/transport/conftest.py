"""A client on the system's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gateway.app import SystemClock
from gateway.domain.backend import CallContext
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse

Send = Callable[..., UpstreamResponse]


@pytest.fixture
def transport_settings() -> TransportSettings:
    """The limits of an exchange; a test module may override them."""
    return TransportSettings(connect_seconds=2.0, hard_timeout_seconds=5.0, max_reply_bytes=100_000)


@pytest.fixture
def client(transport_settings: TransportSettings) -> Iterator[UpstreamClient]:
    client = UpstreamClient(transport_settings, SystemClock())
    yield client
    client.close()


@pytest.fixture
def send(client: UpstreamClient) -> Send:
    """A function that sends a write (POST) or a read (GET) with a deadline in `seconds`."""
    clock = SystemClock()

    def send(url: str, *, is_write: bool = False, seconds: float = 3.0, body: bytes = b"{}") -> UpstreamResponse:
        request = UpstreamRequest(
            method="POST" if is_write else "GET",
            url=url,
            headers={"Content-Type": "application/json"},
            body=body if is_write else None,
            is_write=is_write,
        )
        return client.send(request, CallContext("test-request", clock.monotonic() + seconds))

    return send
