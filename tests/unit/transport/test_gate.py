"""What is let through to a backend, what is refused without a byte sent, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from requests.exceptions import ConnectTimeout, InvalidURL, ReadTimeout
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

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
from tests.conftest import VirtualClock
from tests.unit.transport.doubles import After, Recorder

READ = UpstreamRequest(method="GET", url="http://backend.invalid/", headers={"traceparent": "own"})
WRITE = UpstreamRequest(method="POST", url="http://backend.invalid/", headers={}, body=b"{}", is_write=True)
Played = list[int | BaseException | Callable[[], int]]


class Wire:
    """A connection that plays statuses and failures, the last one again and again, and counts what it was sent."""

    def __init__(self, *, clock: VirtualClock, limits: TransportSettings, limiter: After | None = None) -> None:
        self.clock, self.observer = clock, Recorder()
        self.transport = UpstreamClient(
            limits, clock, "crm", BackendServices(self.observer, limiter), random=lambda: 1.0
        )
        self.transport._exchange = self._play  # type: ignore[method-assign] # no socket
        self.played: Played = [200]
        self.sent = 0

    def _play(self, request: UpstreamRequest, trace: Any, seconds: float) -> UpstreamResponse:
        self.sent += 1
        step = self.played.pop(0) if len(self.played) > 1 else self.played[0]
        if isinstance(step, BaseException):
            raise step
        return UpstreamResponse(step if isinstance(step, int) else step(), {}, b"", request.is_write)

    def send(self, request: UpstreamRequest = READ, seconds: float = 20.0) -> int:
        return self.transport.send(request, CallContext("r", self.clock.monotonic() + seconds)).status

    def fails(self, request: UpstreamRequest = READ, seconds: float = 20.0) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            self.send(request, seconds)
        return caught.value


@pytest.fixture
def wire(clock: VirtualClock) -> Iterator[Wire]:
    wire = Wire(clock=clock, limits=TransportSettings(circuit_failures=3, concurrent_calls=1, queued_calls=1))
    yield wire
    assert wire.transport._gate._slots.take(0.0)  # whatever happened, the one place has come back


@pytest.mark.parametrize("request_", [READ, WRITE])
def test_an_open_circuit_sends_nothing(wire: Wire, request_: UpstreamRequest) -> None:
    """503, certainly not applied, and when to come back; the state tells of it, and so does the observer."""
    wire.played = [503]
    assert [wire.send(), wire.send(), wire.send()] == [503] * 3
    assert (wire.transport.state, wire.observer.circuits) == ("circuit_open", [True])
    error = wire.fails(request_)
    assert (type(error), error.outcome, error.context.retry_after) == (CircuitOpen, Outcome.NOT_APPLIED, 10.0)
    assert (wire.sent, wire.observer.results) == (3, ["5xx"] * 3 + ["circuit_open"])
    wire.clock.sleep(10.0)
    wire.played = [200]
    assert (wire.send(), wire.transport.state, wire.observer.circuits) == (200, "reachable", [True, False])
    assert wire.observer.names == {"crm"}


def test_nobody_needs_to_watch(clock: VirtualClock) -> None:
    """Without an observer the circuit opens and closes all the same."""
    transport = UpstreamClient(TransportSettings(circuit_failures=1), clock)
    transport._exchange = lambda request, trace, seconds: UpstreamResponse(503, {}, b"", is_write=False)  # type: ignore[method-assign]
    transport.send(READ, CallContext("r", clock.monotonic() + 1.0))
    assert transport.state == "circuit_open"


@pytest.mark.parametrize(
    ("failure", "seconds", "result", "opens"),
    [
        (NewConnectionError(HTTPConnection("h"), "refused"), 0.05, "no_connection", True),
        (ConnectTimeout(ConnectTimeoutError()), 20.0, "no_connection", True),
        (ConnectTimeout(ConnectTimeoutError()), 3.0, "no_connection", True),
        (ConnectTimeout(ConnectTimeoutError()), 2.9, "no_connection", False),
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
def test_what_opens_the_circuit_and_what_it_is_called(
    wire: Wire, failure: int | BaseException, seconds: float, result: str, opens: bool
) -> None:
    """Nobody there, or time enough and no answer; never a refusal, never a caller in a hurry, never our own mistake."""
    wire.played = [failure]
    for _ in range(3):
        if isinstance(failure, int):
            wire.send(seconds=seconds)
        else:
            wire.fails(seconds=seconds)
    assert wire.observer.results == [result] * 3
    assert (wire.transport.state == "circuit_open") is opens


def test_short_limits_are_time_enough(clock: VirtualClock) -> None:
    """A connection that allows two seconds in all counts a timeout of two seconds."""
    wire = Wire(clock=clock, limits=TransportSettings(hard_timeout_seconds=2.0, circuit_failures=1))
    wire.played = [ReadTimeout(TimeoutError())]
    states = []
    for seconds in (1.9, 60.0):
        wire.fails(seconds=seconds)
        states.append(wire.transport.state)
    assert states == ["unreachable", "circuit_open"]


def test_a_caller_in_a_hurry_does_not_make_good_what_others_met(wire: Wire) -> None:
    """His timeout counts neither for nor against."""
    wire.played = [503, 503, ReadTimeout(TimeoutError()), 503]
    wire.send()
    wire.send()
    wire.fails(seconds=0.05)
    wire.send()
    assert wire.transport.state == "circuit_open"


def test_a_probe_that_is_refused_elsewhere_hands_over(clock: VirtualClock) -> None:
    """The pause is over, but the rate is used up: the next call is the probe, and its place has been given back."""
    limiter = After(1, lambda: 0.5)
    limits = TransportSettings(circuit_failures=1, concurrent_calls=1, queued_calls=0, requests_per_second=1.0)
    wire = Wire(clock=clock, limits=limits, limiter=limiter)
    wire.played = [503, 200]
    wire.send()
    clock.sleep(10.0)
    assert isinstance(wire.fails(), RateLimited)
    limiter.allowed = 9
    assert (wire.send(), wire.transport.state) == (200, "reachable")


@pytest.mark.parametrize("request_", [READ, WRITE])
def test_above_the_rate_nothing_is_sent(clock: VirtualClock, request_: UpstreamRequest) -> None:
    """429, certainly not applied, and when there is room; each connection is counted under its own name."""
    limiter = After(1, lambda: 0.25)
    wire = Wire(clock=clock, limits=TransportSettings(requests_per_second=2.5), limiter=limiter)
    assert wire.send(request_) == 200
    error = wire.fails(request_)
    assert (type(error), error.outcome, error.context.retry_after) == (RateLimited, Outcome.NOT_APPLIED, 0.25)
    assert (wire.sent, limiter.asked, wire.transport.state) == (1, [("backend:crm", 2.5)] * 2, "reachable")
    assert wire.observer.results == ["2xx", "rate_limited"]


def test_without_a_rate_nobody_is_asked(clock: VirtualClock) -> None:
    """requests_per_second = 0 is the default, and no limit."""
    limiter = After(0, lambda: 1.0)
    wire = Wire(clock=clock, limits=TransportSettings(), limiter=limiter)
    assert (wire.send(), limiter.asked) == (200, [])


def test_who_waits_in_vain_for_a_place_has_sent_nothing(clock: VirtualClock) -> None:
    """503, certainly not applied, come back in a second: while one call is on its way, a full queue refuses."""
    wire = Wire(clock=clock, limits=TransportSettings(concurrent_calls=1, queued_calls=0))
    told: list[GatewayError] = []

    def meanwhile() -> int:
        told.append(wire.fails(WRITE))
        return 200

    wire.played = [meanwhile]
    assert wire.send() == 200
    assert [(type(e), e.outcome, e.context.retry_after) for e in told] == [(Overloaded, Outcome.NOT_APPLIED, 1.0)]
    assert (wire.sent, wire.observer.results) == (1, ["overloaded", "2xx"])


def test_a_circuit_that_opens_during_the_wait_is_met_after_it(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever queued before a backend that has died meanwhile does not go there one by one."""
    slots = wire.transport._gate._slots
    take = slots.take

    def wait(seconds: float) -> bool:
        monkeypatch.setattr(slots, "take", take)
        for _ in range(3):
            wire.send()
        return take(seconds)

    wire.played = [503]
    monkeypatch.setattr(slots, "take", wait)
    assert isinstance(wire.fails(), CircuitOpen)
    assert wire.sent == 3


@pytest.mark.parametrize(("request_", "error"), [(READ, BackendTimeout), (WRITE, BackendUnavailable)])
def test_whose_time_runs_out_at_the_gate_has_sent_nothing(
    clock: VirtualClock, request_: UpstreamRequest, error: type[GatewayError]
) -> None:
    """Counting may take a while; the deadline is looked at once more before the request leaves."""

    def slow() -> float:
        clock.sleep(1.0)
        return 0.0

    limits = TransportSettings(requests_per_second=1.0, concurrent_calls=1, queued_calls=0)
    wire = Wire(clock=clock, limits=limits, limiter=After(0, slow))
    assert type(wire.fails(request_, seconds=0.5)) is error
    assert (wire.sent, wire.observer.results) == (0, [])
    assert wire.send() == 200


@pytest.mark.parametrize("end", [KeyboardInterrupt(), BackendTimeout()])
def test_an_exchange_that_ends_otherwise_counts_neither_way(wire: Wire, end: BaseException) -> None:
    """A killed greenlet, a reply too large: the place comes back, the failures in a row stay as they were."""
    wire.played = [503, 503, end, 503]
    wire.send()
    wire.send()
    with pytest.raises(type(end)):
        wire.send()
    assert wire.observer.results == ["5xx", "5xx", "broken"]
    wire.send()
    assert wire.transport.state == "circuit_open"


def test_waiting_at_the_gate_is_time_spent_on_the_backend(clock: VirtualClock) -> None:
    """Server-Timing counts it as upstream, also where nothing was sent; the exchange itself is told without it."""

    def slow() -> float:
        clock.sleep(0.25)
        return 0.0

    wire = Wire(clock=clock, limits=TransportSettings(requests_per_second=1.0), limiter=After(0, slow))
    call = CallContext("r", clock.monotonic() + 5.0)
    wire.transport.send(READ, call)
    assert (call.upstream_seconds, wire.observer.seconds) == (0.25, [0.0])
