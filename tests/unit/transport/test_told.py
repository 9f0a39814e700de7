"""What the transport tells those who draw traces, and those who keep credentials out of logs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.app import SystemClock
from gateway.domain.backend import BackendServices, CallContext
from gateway.domain.errors import BackendUnavailable
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest
from tests.unit.transport.rawserver import RawServer, Step, reply


class Drawing:
    """A tracer, the one exchange that it draws, and a keeper of secrets; writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.headers: Mapping[str, str] = {"traceparent": "00-ours"}

    def start_upstream_span(self, backend: str, method: str, trace: Mapping[str, str]) -> Drawing:
        self.told.append((backend, method, dict(trace)))
        return self

    def end(self, result: str) -> None:
        self.told.append(result)

    def add(self, value: str) -> None:
        self.told.append(("add", value))

    def add_temporary(self, value: str, seconds: float) -> None:
        self.told.append(("lend", value, seconds > 0))

    def remove(self, value: str) -> None:
        self.told.append(("forget", value))


@pytest.mark.loopback
def test_an_exchange_is_drawn() -> None:
    """It begins with the call's trace, the span's own context goes out in its place, and it ends with what came."""
    clock, drawing = SystemClock(), Drawing()
    transport = UpstreamClient(TransportSettings(), clock, "cmdb", BackendServices(tracer=drawing))
    with RawServer([reply(b"{}"), Step.KEEP], [Step.RESET]) as server:
        request = UpstreamRequest(method="GET", url=server.url, headers={})
        transport.send(request, CallContext("r", clock.monotonic() + 3.0, trace={"traceparent": "00-theirs"}))
        with pytest.raises(BackendUnavailable):
            transport.send(request, CallContext("r", clock.monotonic() + 3.0))
        transport.close()
    begun = ("cmdb", "GET", {"traceparent": "00-theirs"})
    assert drawing.told == [begun, "2xx", ("cmdb", "GET", {}), "broken"]
    assert b"traceparent: 00-ours" in server.requests[0].split(b"\r\n")


def test_a_credential_is_hidden() -> None:
    """A new one is known at once; the one before it is known for a while yet, and then no longer."""
    drawing = Drawing()
    transport = UpstreamClient(TransportSettings(), SystemClock(), "pm", BackendServices(secrets=drawing))
    transport.hide("first")
    transport.hide("second", instead_of="first")
    assert drawing.told == [("add", "first"), ("add", "second"), ("lend", "first", True), ("forget", "first")]
    UpstreamClient(TransportSettings(), SystemClock()).hide("nobody keeps it")
