"""What the circuit breaker promises, one fact each."""

from __future__ import annotations

import pytest

from gateway.domain.errors import CircuitOpen
from gateway.transport.breaker import LONGEST, BreakerConfig, CircuitBreaker
from tests.conftest import VirtualClock


def build(clock: VirtualClock, *, failures: int = 3, drawn: float = 0.0, seconds: float = 10.0) -> CircuitBreaker:
    rule = BreakerConfig(failures=failures, seconds=seconds, probe_seconds=40.0)
    return CircuitBreaker(rule, clock, random=lambda: drawn, on_change=lambda _: None)


def fail(breaker: CircuitBreaker, clock: VirtualClock, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.enter(), clock.monotonic(), lasting=False)


def pause(breaker: CircuitBreaker) -> float:
    with pytest.raises(CircuitOpen) as refused:
        breaker.enter()
    assert refused.value.context.retry_after is not None
    return refused.value.context.retry_after


def test_only_failures_in_a_row_count(clock: VirtualClock) -> None:
    """Half of all calls may fail: the other half is served."""
    breaker = build(clock)
    for _ in range(50):
        fail(breaker, clock, times=2)
        breaker.succeeded(breaker.enter())
    assert not breaker.is_open
    fail(breaker, clock, times=3)
    assert breaker.is_open


def test_what_breaks_at_one_moment_is_one_failure(clock: VirtualClock) -> None:
    """A thousand calls that one restart cuts off open nothing; three that fail one after the other do."""
    breaker = build(clock)
    began = clock.monotonic()
    tickets = [breaker.enter() for _ in range(1000)]
    clock.sleep(0.1)
    for ticket in tickets:
        breaker.failed(ticket, began, lasting=False)
    assert not breaker.is_open
    fail(breaker, clock, times=2)
    assert breaker.is_open


def test_a_backend_that_hangs_is_found_out_by_the_calls_that_hang(clock: VirtualClock) -> None:
    """Timeouts that lasted count each, however many began together: nobody waits for three generations of them."""
    breaker = build(clock)
    began = clock.monotonic()
    tickets = [breaker.enter() for _ in range(3)]
    clock.sleep(35.0)
    for ticket in tickets:
        breaker.failed(ticket, began, lasting=True)
    assert breaker.is_open


def test_results_from_before_the_circuit_opened_are_not_heard(clock: VirtualClock) -> None:
    """What hung before an outage and times out after it says nothing about the backend as it is now."""
    breaker = build(clock)
    began = clock.monotonic()
    old = [breaker.enter() for _ in range(10)]
    fail(breaker, clock, times=3)
    clock.sleep(10.0)
    breaker.succeeded(breaker.enter())
    for ticket in old:
        breaker.failed(ticket, began, lasting=True)
    assert not breaker.is_open


@pytest.mark.parametrize(("drawn", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_pauses_double_up_to_a_bound(clock: VirtualClock, drawn: float, share: float) -> None:
    """10, 20, 40, 60, 60 seconds, of which a random part of the second half is left out; closing begins anew."""
    breaker = build(clock, drawn=drawn)
    fail(breaker, clock, times=3)
    told = []
    for _ in range(5):
        told.append(pause(breaker))
        clock.sleep(told[-1])
        fail(breaker, clock)
    assert told == [share * seconds for seconds in (10.0, 20.0, 40.0, LONGEST, LONGEST)]
    clock.sleep(pause(breaker))
    breaker.succeeded(breaker.enter())
    fail(breaker, clock, times=3)
    assert pause(breaker) == share * 10.0


def test_a_longer_first_pause_is_its_own_bound(clock: VirtualClock) -> None:
    """circuit_seconds above a minute is kept, and not doubled."""
    breaker = build(clock, drawn=1.0, seconds=100.0)
    fail(breaker, clock, times=3)
    clock.sleep(pause(breaker))
    fail(breaker, clock)
    assert pause(breaker) == 100.0


def test_one_probe_at_a_time(clock: VirtualClock) -> None:
    """When the pause is over one call goes out, and the others are told to come back soon."""
    breaker = build(clock)
    fail(breaker, clock, times=3)
    clock.sleep(5.0)
    breaker.check()
    probe = breaker.enter()
    assert pause(breaker) == 1.0
    breaker.succeeded(probe)
    breaker.enter()
    assert not breaker.is_open


def test_a_probe_that_tells_nothing_hands_over_at_once(clock: VirtualClock) -> None:
    """A killed greenlet does not cost another pause."""
    breaker = build(clock)
    fail(breaker, clock, times=3)
    clock.sleep(5.0)
    breaker.proved_nothing(breaker.enter())
    breaker.succeeded(breaker.enter())
    assert not breaker.is_open


def test_a_lost_probe_does_not_block_for_ever(clock: VirtualClock) -> None:
    """One of which nothing is ever heard is replaced; should it speak up after that, nobody listens."""
    breaker = build(clock)
    fail(breaker, clock, times=3)
    clock.sleep(5.0)
    lost = breaker.enter()
    clock.sleep(40.0)
    second = breaker.enter()
    breaker.succeeded(lost)
    breaker.proved_nothing(lost)
    assert breaker.is_open
    breaker.succeeded(second)
    assert not breaker.is_open


def test_zero_failures_means_never(clock: VirtualClock) -> None:
    """circuit_failures = 0 turns it off."""
    breaker = build(clock, failures=0)
    fail(breaker, clock, times=1000)
    assert not breaker.is_open


def test_a_ticket_drawn_while_the_circuit_opens_is_an_outdated_one(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads: who had seen it closed and was overtaken by the opening can neither close it nor spoil the probe."""
    breaker = build(clock)
    early = breaker.enter()
    fail(breaker, clock, times=3)
    breaker.succeeded(early)
    assert breaker.is_open
    clock.sleep(5.0)
    breaker.succeeded(breaker.enter())
    assert not breaker.is_open


class Overtaken(CircuitBreaker):
    """A breaker that another thread closes between the first look without the lock and the second with it."""

    def _refuse(self) -> None:
        super()._refuse()
        self._until = None


def test_who_finds_it_closed_after_all_is_no_probe(clock: VirtualClock) -> None:
    """Between a look without the lock and one with it the circuit may have closed: then it is an ordinary call."""
    rule = BreakerConfig(failures=1, seconds=10.0, probe_seconds=40.0)
    breaker = Overtaken(rule, clock, random=lambda: 0.0, on_change=lambda _: None)
    fail(breaker, clock)
    clock.sleep(5.0)
    ticket = breaker.enter()
    breaker.succeeded(ticket)
    assert breaker.enter() == ticket
