"""The circuit breaker over real sockets: a backend that fails, is not called, and recovers."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from gateway.domain.backend import BackendServices, CallContext
from gateway.domain.errors import BackendUnavailable, CircuitOpen, GatewayError
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest
from tests.conftest import VirtualClock
from tests.unit.transport.doubles import Recorder
from tests.unit.transport.rawserver import RawServer, Script, Step, reply

pytestmark = pytest.mark.loopback


class Caller:
    """Sends one request repeatedly; only the circuit breaker runs on a virtual clock."""

    def __init__(self, url: str, clock: VirtualClock) -> None:
        self.url, self.clock, self.metrics = url, clock, Recorder()
        self.client = UpstreamClient(
            TransportSettings(), clock, "crm", BackendServices(self.metrics), random=lambda: 1.0
        )

    def send(self) -> int | type[GatewayError]:
        request = UpstreamRequest(method="GET", url=self.url, headers={})
        try:
            return self.client.send(request, CallContext("r", self.clock.monotonic() + 20.0)).status
        except GatewayError as error:
            return type(error)


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of name lookups: there is one for each attempt to connect."""
    attempts: list[Any] = []
    getaddrinfo = socket.getaddrinfo

    def record(*args: Any, **kwargs: Any) -> Any:
        attempts.append(args)
        return getaddrinfo(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", record)
    return attempts


def test_a_failed_backend_is_not_called_until_it_recovers(clock: VirtualClock, attempts: list[Any]) -> None:
    """Ten refused connections, then no attempt; each pause ends with one; the first response closes the circuit."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    caller = Caller(f"http://127.0.0.1:{port}", clock)
    assert [caller.send() for _ in range(10)] == [BackendUnavailable] * 10
    assert (caller.client.state, len(attempts)) == ("circuit_open", 10)
    assert [caller.send() for _ in range(100)] == [CircuitOpen] * 100
    assert len(attempts) == 10
    clock.sleep(10.0)
    assert [caller.send(), caller.send()] == [BackendUnavailable, CircuitOpen]
    assert len(attempts) == 11
    with RawServer([reply(b"{}"), Step.KEEP], port=port) as server:
        clock.sleep(19.9)
        assert caller.send() is CircuitOpen
        clock.sleep(0.1)
        assert [caller.send() for _ in range(20)] == [200] * 20
        caller.client.close()
    assert (len(server.requests), len(attempts), caller.metrics.circuits) == (20, 12, [True, False])


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
def test_what_the_backend_did_not_answer_opens_it(clock: VirtualClock, script: Script, result: str) -> None:
    """Resets, data that is not HTTP, half a response, and the error pages of a proxy."""
    with RawServer(script) as server:
        caller = Caller(server.url, clock)
        for _ in range(10):
            caller.send()
        assert caller.send() is CircuitOpen
        caller.client.close()
    assert (len(server.requests), caller.metrics.results) == (10, [result] * 10 + ["circuit_open"])
