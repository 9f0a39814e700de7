"""Fetching a public JSON document, such as the keys of an issuer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gateway.domain.backend import CallContext
from gateway.domain.runtime import Clock
from gateway.transport.client import UpstreamClient, UpstreamRequest
from gateway.transport.settings import TransportSettings

#: Such a document is short and near, and somebody may be waiting for it.
_SECONDS: Final = 5.0
_BYTES: Final = 256 * 1024


def json_fetcher(url: str, ca_file: str | None, clock: Clock) -> Callable[[], Any]:
    """Return what fetches the document, raising a GatewayError where there is none."""
    limits = TransportSettings(
        connect_seconds=2.0, hard_timeout_seconds=_SECONDS, max_reply_bytes=_BYTES, ca_file=ca_file
    )
    transport = UpstreamClient(limits, clock)
    request = UpstreamRequest(method="GET", url=url, headers={"Accept": "application/json"})

    def fetch() -> Any:
        reply = transport.send(request, CallContext("fetch", clock.monotonic() + _SECONDS))
        document = reply.json() if reply.ok else None
        if document is None:
            raise reply.invalid("it is no JSON document")
        return document

    return fetch
