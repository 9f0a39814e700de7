"""What the admission control admits, what it refuses without sending a byte, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from requests.exceptions import ConnectTimeout, InvalidURL, ReadTimeout

from gateway.domain.backend import BackendServices, CallContext
from gateway.domain.errors import (
    BackendTimeout,
    BackendUnavailable,
    CircuitOpen,
    GatewayError,
    Outcome,
    Overloaded,
    RateLimited,
)
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse
from gateway.transport.deadline_socket import ConnectError
from tests.conftest import VirtualClock
from tests.unit.transport.doubles import After, Recorder

READ = UpstreamRequest(method="GET", url="http://backend.invalid/", headers={"traceparent": "own"})
WRITE = UpstreamRequest(method="POST", url="http://backend.invalid/", headers={}, body=b"{}", is_write=True)
Step = int | BaseException | Callable[[], int]


class ScriptedClient:
    """A client without sockets: it plays statuses and failures, the last one repeatedly, and counts requests."""

    def __init__(self, *, clock: VirtualClock, settings: TransportSettings, limiter: After | None = None) -> None:
        self.clock, self.metrics = clock, Recorder()
        services = BackendServices(self.metrics, limiter)
        self.client = UpstreamClient(settings, clock, "crm", services, random=lambda: 1.0)
        self.client._exchange = self._play  # type: ignore[method-assign] # no socket
        self.script: list[Step] = [200]
        self.sent = 0

    def _play(self, request: UpstreamRequest, trace: Any, deadline: float) -> UpstreamResponse:
        self.sent += 1
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, BaseException):
            raise step
        return UpstreamResponse(step if isinstance(step, int) else step(), {}, b"", request.is_write)

    def send(self, request: UpstreamRequest = READ, seconds: float = 20.0) -> int:
        return self.client.send(request, CallContext("r", self.clock.monotonic() + seconds)).status

    def fail(self, request: UpstreamRequest = READ, seconds: float = 20.0) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            self.send(request, seconds)
        return caught.value


@pytest.fixture
def scripted(clock: VirtualClock) -> Iterator[ScriptedClient]:
    settings = TransportSettings(circuit_failures=3, concurrent_calls=1, queued_calls=1)
    scripted = ScriptedClient(clock=clock, settings=settings)
    yield scripted
    assert scripted.client._admission._semaphore.acquire(0.0)  # the one slot was released in every case


@pytest.mark.parametrize("request_", [READ, WRITE])
def test_an_open_circuit_sends_nothing(scripted: ScriptedClient, request_: UpstreamRequest) -> None:
    """503, not applied, with Retry-After; the state and the metrics show the open circuit."""
    scripted.script = [503]
    assert [scripted.send(), scripted.send(), scripted.send()] == [503] * 3
    assert (scripted.client.state, scripted.metrics.circuits) == ("circuit_open", [True])
    error = scripted.fail(request_)
    assert (type(error), error.outcome, error.context.retry_after) == (CircuitOpen, Outcome.NOT_APPLIED, 10.0)
    assert (scripted.sent, scripted.metrics.results) == (3, ["5xx"] * 3 + ["circuit_open"])
    scripted.clock.sleep(10.0)
    scripted.script = [200]
    assert (scripted.send(), scripted.client.state, scripted.metrics.circuits) == (200, "reachable", [True, False])
    assert scripted.metrics.names == {"crm"}


def test_metrics_are_optional(clock: VirtualClock) -> None:
    """Without metrics the circuit opens and closes all the same."""
    client = UpstreamClient(TransportSettings(circuit_failures=1), clock)
    client._exchange = lambda request, trace, deadline: UpstreamResponse(503, {}, b"", is_write=False)  # type: ignore[method-assign]
    client.send(READ, CallContext("r", clock.monotonic() + 1.0))
    assert client.state == "circuit_open"


@pytest.mark.parametrize(
    ("failure", "seconds", "result", "opens"),
    [
        (ConnectError("refused"), 0.05, "no_connection", True),
        (ConnectTimeout(), 20.0, "no_connection", True),
        (ConnectTimeout(), 3.0, "no_connection", True),
        (ConnectTimeout(), 2.9, "no_connection", False),
        (ReadTimeout(TimeoutError()), 20.0, "timeout", True),
        (ReadTimeout(TimeoutError()), 8.75, "timeout", True),
        (ReadTimeout(TimeoutError()), 8.7, "timeout", False),
        (ReadTimeout(TimeoutError()), 0.05, "timeout", False),
        (ConnectionResetError(), 0.05, "broken", True),
        (InvalidURL(), 20.0, "no_connection", False),
        (502, 20.0, "5xx", True),
        (503, 20.0, "5xx", True),
        (504, 20.0, "5xx", True),
        (500, 20.0, "5xx", False),
        (501, 20.0, "5xx", False),
        (429, 20.0, "4xx", False),
        (401, 20.0, "4xx", False),
        (302, 20.0, "3xx", False),
        (200, 20.0, "2xx", False),
        (600, 20.0, "broken", False),
    ],
)
def test_what_opens_the_circuit_and_how_it_is_counted(
    scripted: ScriptedClient, failure: int | BaseException, seconds: float, result: str, opens: bool
) -> None:
    """No connection, or no answer in sufficient time; never a refusal, a short deadline or the gateway's settings."""
    scripted.script = [failure]
    for _ in range(3):
        if isinstance(failure, int):
            scripted.send(seconds=seconds)
        else:
            scripted.fail(seconds=seconds)
    assert scripted.metrics.results == [result] * 3
    assert (scripted.client.state == "circuit_open") is opens


def test_a_short_hard_timeout_is_sufficient_time(clock: VirtualClock) -> None:
    """A connection that allows two seconds in total counts a timeout after two seconds."""
    settings = TransportSettings(hard_timeout_seconds=2.0, circuit_failures=1)
    scripted = ScriptedClient(clock=clock, settings=settings)
    scripted.script = [ReadTimeout(TimeoutError())]
    states = []
    for seconds in (1.9, 60.0):
        scripted.fail(seconds=seconds)
        states.append(scripted.client.state)
    assert states == ["unreachable", "circuit_open"]


def test_a_timeout_after_a_short_deadline_counts_neither_way(scripted: ScriptedClient) -> None:
    """It neither adds to the consecutive failures nor resets them."""
    scripted.script = [503, 503, ReadTimeout(TimeoutError()), 503]
    scripted.send()
    scripted.send()
    scripted.fail(seconds=0.05)
    scripted.send()
    assert scripted.client.state == "circuit_open"


def test_a_probe_above_the_rate_is_replaced(clock: VirtualClock) -> None:
    """If the rate limiter refuses the probe, the next call is the probe, and the slot has been released."""
    limiter = After(1, lambda: 0.5)
    settings = TransportSettings(circuit_failures=1, concurrent_calls=1, queued_calls=0, requests_per_second=1.0)
    scripted = ScriptedClient(clock=clock, settings=settings, limiter=limiter)
    scripted.script = [503, 200]
    scripted.send()
    clock.sleep(10.0)
    assert isinstance(scripted.fail(), RateLimited)
    limiter.allowed = 9
    assert (scripted.send(), scripted.client.state) == (200, "reachable")


@pytest.mark.parametrize("request_", [READ, WRITE])
def test_above_the_rate_nothing_is_sent(clock: VirtualClock, request_: UpstreamRequest) -> None:
    """429, not applied, with Retry-After; each connection is counted under its own name."""
    limiter = After(1, lambda: 0.25)
    settings = TransportSettings(requests_per_second=2.5)
    scripted = ScriptedClient(clock=clock, settings=settings, limiter=limiter)
    assert scripted.send(request_) == 200
    error = scripted.fail(request_)
    assert (type(error), error.outcome, error.context.retry_after) == (RateLimited, Outcome.NOT_APPLIED, 0.25)
    assert (scripted.sent, limiter.keys, scripted.client.state) == (1, [("backend:crm", 2.5)] * 2, "reachable")
    assert scripted.metrics.results == ["2xx", "rate_limited"]


def test_without_a_rate_the_limiter_is_not_called(clock: VirtualClock) -> None:
    """requests_per_second = 0 is the default and means no limit."""
    limiter = After(0, lambda: 1.0)
    scripted = ScriptedClient(clock=clock, settings=TransportSettings(), limiter=limiter)
    assert (scripted.send(), limiter.keys) == (200, [])


def test_a_call_without_a_slot_sends_nothing(clock: VirtualClock) -> None:
    """503, not applied, Retry-After of a second: a full queue refuses while one call is under way."""
    scripted = ScriptedClient(clock=clock, settings=TransportSettings(concurrent_calls=1, queued_calls=0))
    errors: list[GatewayError] = []

    def send_another() -> int:
        errors.append(scripted.fail(WRITE))
        return 200

    scripted.script = [send_another]
    assert scripted.send() == 200
    assert [(type(e), e.outcome, e.context.retry_after) for e in errors] == [(Overloaded, Outcome.NOT_APPLIED, 1.0)]
    assert (scripted.sent, scripted.metrics.results) == (1, ["overloaded", "2xx"])


def test_a_circuit_that_opens_during_the_wait_refuses(
    scripted: ScriptedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that waited while the backend failed are not sent one by one."""
    slots = scripted.client._admission._semaphore
    acquire = slots.acquire

    def acquire_after_failures(seconds: float, caller: str) -> bool:
        monkeypatch.setattr(slots, "acquire", acquire)
        for _ in range(3):
            scripted.send()
        return acquire(seconds, caller)

    scripted.script = [503]
    monkeypatch.setattr(slots, "acquire", acquire_after_failures)
    assert isinstance(scripted.fail(), CircuitOpen)
    assert scripted.sent == 3


@pytest.mark.parametrize(("request_", "error"), [(READ, BackendTimeout), (WRITE, BackendUnavailable)])
def test_a_deadline_that_passes_during_admission_sends_nothing(
    clock: VirtualClock, request_: UpstreamRequest, error: type[GatewayError]
) -> None:
    """The rate limiter may be slow; the deadline is checked once more before the request is sent."""

    def slow() -> float:
        clock.sleep(1.0)
        return 0.0

    settings = TransportSettings(requests_per_second=1.0, concurrent_calls=1, queued_calls=0)
    scripted = ScriptedClient(clock=clock, settings=settings, limiter=After(0, slow))
    assert type(scripted.fail(request_, seconds=0.5)) is error
    assert (scripted.sent, scripted.metrics.results) == (0, [])
    assert scripted.send() == 200


@pytest.mark.parametrize("end", [KeyboardInterrupt(), BackendTimeout()])
def test_an_aborted_exchange_counts_neither_way(scripted: ScriptedClient, end: BaseException) -> None:
    """A killed greenlet, a response that is too large: the slot is released, the consecutive failures stay."""
    scripted.script = [503, 503, end, 503]
    scripted.send()
    scripted.send()
    with pytest.raises(type(end)):
        scripted.send()
    assert scripted.metrics.results == ["5xx", "5xx", "broken"]
    scripted.send()
    assert scripted.client.state == "circuit_open"


def test_waiting_for_admission_is_upstream_time(clock: VirtualClock) -> None:
    """Server-Timing includes it, even if nothing was sent; the duration of the exchange excludes it."""

    def slow() -> float:
        clock.sleep(0.25)
        return 0.0

    settings = TransportSettings(requests_per_second=1.0)
    scripted = ScriptedClient(clock=clock, settings=settings, limiter=After(0, slow))
    call = CallContext("r", clock.monotonic() + 5.0)
    scripted.client.send(READ, call)
    assert (call.upstream_seconds, scripted.metrics.seconds) == (0.25, [0.0])
