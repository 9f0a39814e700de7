"""The circuit over real sockets: a backend that dies, is left alone, and comes back."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from urllib3.util import connection as urllib3_connection

from gateway.domain.backend import BackendServices, CallContext
from gateway.domain.errors import BackendUnavailable, CircuitOpen, GatewayError
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest
from tests.conftest import VirtualClock
from tests.unit.transport.doubles import Recorder
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

pytestmark = pytest.mark.loopback


class Caller:
    """Asks one address again and again; only the pauses of the circuit are on a virtual clock."""

    def __init__(self, url: str, clock: VirtualClock) -> None:
        self.url, self.clock, self.observer = url, clock, Recorder()
        self.transport = UpstreamClient(
            TransportSettings(), clock, "crm", BackendServices(self.observer), random=lambda: 1.0
        )

    def ask(self) -> int | type[GatewayError]:
        request = UpstreamRequest(method="GET", url=self.url, headers={})
        try:
            return self.transport.send(request, CallContext("r", self.clock.monotonic() + 20.0)).status
        except GatewayError as error:
            return type(error)


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The addresses to which connections were attempted."""
    seen: list[Any] = []
    connect = urllib3_connection.create_connection

    def attempt(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        seen.append(address)
        return connect(address, *args, **kwargs)

    monkeypatch.setattr(urllib3_connection, "create_connection", attempt)
    return seen


def test_a_dead_backend_is_left_alone_until_it_is_back(clock: VirtualClock, attempts: list[Any]) -> None:
    """Ten refusals, then not one attempt; each pause ends in one; the first that is answered closes the circuit."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    caller = Caller(f"http://127.0.0.1:{port}", clock)
    assert [caller.ask() for _ in range(10)] == [BackendUnavailable] * 10
    assert (caller.transport.state, len(attempts)) == ("circuit_open", 10)
    assert [caller.ask() for _ in range(100)] == [CircuitOpen] * 100
    assert len(attempts) == 10
    clock.sleep(10.0)
    assert [caller.ask(), caller.ask()] == [BackendUnavailable, CircuitOpen]
    assert len(attempts) == 11
    with RawServer([reply(b"{}"), Step.KEEP], port=port) as server:
        clock.sleep(19.9)
        assert caller.ask() is CircuitOpen
        clock.sleep(0.1)
        assert [caller.ask() for _ in range(20)] == [200] * 20
        caller.transport.close()
    assert (len(server.requests), len(attempts), caller.observer.circuits) == (20, 12, [True, False])


@pytest.mark.parametrize(
    ("script", "result"),
    [
        ([Step.RESET], "broken"),
        ([b"<html>no HTTP</html>\r\n\r\n"], "broken"),
        ([reply(b"{}", length=100)], "broken"),
        ([reply(b"<html>", status="502 Bad Gateway"), Step.KEEP], "5xx"),
        ([reply(b"", status="503 Service Unavailable"), Step.KEEP], "5xx"),
        ([reply(b"{}", status="504 Gateway Timeout"), Step.KEEP], "5xx"),
    ],
)
def test_what_is_no_answer_of_the_backend_opens_it(clock: VirtualClock, script: Script, result: str) -> None:
    """Resets, what is no HTTP, half a reply, and the pages of what stands in front."""
    with RawServer(script) as server:
        caller = Caller(server.url, clock)
        for _ in range(10):
            caller.ask()
        assert caller.ask() is CircuitOpen
        caller.transport.close()
    assert (len(server.requests), caller.observer.results) == (10, [result] * 10 + ["circuit_open"])


def test_the_headers_of_a_trace_go_along(clock: VirtualClock) -> None:
    """As they came; where the adapter has one of that name, in whatever case, its own goes out."""
    transport = UpstreamClient(TransportSettings(), clock)
    with RawServer([reply(b"{}"), Step.KEEP]) as server:
        request = UpstreamRequest(method="GET", url=server.url, headers={"X-Request-Id": "ours"})
        trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-request-id": "theirs"}
        transport.send(request, CallContext("r", clock.monotonic() + 3.0, trace=trace))
        transport.close()
    sent = server.requests[0].split(b"\r\n")
    assert b"traceparent: " + trace["traceparent"].encode() in sent
    assert [line for line in sent if line.lower().startswith(b"x-request-id")] == [b"X-Request-Id: ours"]
