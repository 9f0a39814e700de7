"""The circuit breaker: single facts, and a comparison with a model of a few lines over random histories."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from gateway.domain.errors import CircuitOpen
from gateway.transport.breaker import MAX_OPEN_SECONDS, BreakerConfig, CircuitBreaker
from tests.conftest import VirtualClock

FAILURES, SECONDS, PROBE_SECONDS = 3, 10.0, 40.0


def create_breaker(
    clock: VirtualClock, *, failures: int = FAILURES, random: float = 0.0, seconds: float = SECONDS
) -> CircuitBreaker:
    config = BreakerConfig(failure_threshold=failures, first_pause_seconds=seconds, probe_seconds=PROBE_SECONDS)
    return CircuitBreaker(config, clock, random=lambda: random, on_change=lambda _: None)


def fail(breaker: CircuitBreaker, clock: VirtualClock, times: int = 1) -> None:
    for _ in range(times):
        breaker.record_failure(breaker.acquire(), clock.monotonic(), even_if_concurrent=False)


def retry_after(breaker: CircuitBreaker) -> float:
    with pytest.raises(CircuitOpen) as caught:
        breaker.acquire()
    assert caught.value.context.retry_after is not None
    return caught.value.context.retry_after


def test_only_consecutive_failures_count(clock: VirtualClock) -> None:
    """A backend that fails two of three calls still serves the third."""
    breaker = create_breaker(clock)
    for _ in range(50):
        fail(breaker, clock, times=2)
        breaker.record_success(breaker.acquire())
    assert not breaker.is_open
    fail(breaker, clock, times=3)
    assert breaker.is_open


def test_concurrent_failures_are_one_failure(clock: VirtualClock) -> None:
    """A thousand calls that one restart interrupts do not open the circuit; three successive failures do."""
    breaker = create_breaker(clock)
    started_at = clock.monotonic()
    permits = [breaker.acquire() for _ in range(1000)]
    clock.sleep(0.1)
    for permit in permits:
        breaker.record_failure(permit, started_at, even_if_concurrent=False)
    assert not breaker.is_open
    fail(breaker, clock, times=2)
    assert breaker.is_open


def test_concurrent_long_timeouts_each_count(clock: VirtualClock) -> None:
    """Three timeouts of calls that started together open the circuit: a hanging backend is detected at once."""
    breaker = create_breaker(clock)
    started_at = clock.monotonic()
    permits = [breaker.acquire() for _ in range(3)]
    clock.sleep(35.0)
    for permit in permits:
        breaker.record_failure(permit, started_at, even_if_concurrent=True)
    assert breaker.is_open


def test_results_of_an_earlier_generation_are_ignored(clock: VirtualClock) -> None:
    """A call that was sent before an outage and times out after it proves nothing about the backend now."""
    breaker = create_breaker(clock)
    started_at = clock.monotonic()
    old_permits = [breaker.acquire() for _ in range(10)]
    fail(breaker, clock, times=3)
    clock.sleep(10.0)
    breaker.record_success(breaker.acquire())
    for permit in old_permits:
        breaker.record_failure(permit, started_at, even_if_concurrent=True)
    assert not breaker.is_open


@pytest.mark.parametrize(("random", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_pauses_double_up_to_a_maximum(clock: VirtualClock, random: float, share: float) -> None:
    """10, 20, 40, 60, 60 seconds less a random part of the second half; a success starts again at 10."""
    breaker = create_breaker(clock, random=random)
    fail(breaker, clock, times=3)
    pauses = []
    for _ in range(5):
        pauses.append(retry_after(breaker))
        clock.sleep(pauses[-1])
        fail(breaker, clock)
    assert pauses == [share * seconds for seconds in (10.0, 20.0, 40.0, MAX_OPEN_SECONDS, MAX_OPEN_SECONDS)]
    clock.sleep(retry_after(breaker))
    breaker.record_success(breaker.acquire())
    fail(breaker, clock, times=3)
    assert retry_after(breaker) == share * 10.0


def test_a_first_pause_above_the_maximum_stays(clock: VirtualClock) -> None:
    """circuit_seconds above a minute is used as it is, and not doubled."""
    breaker = create_breaker(clock, random=1.0, seconds=100.0)
    fail(breaker, clock, times=3)
    clock.sleep(retry_after(breaker))
    fail(breaker, clock)
    assert retry_after(breaker) == 100.0


def test_one_probe_at_a_time(clock: VirtualClock) -> None:
    """After the pause one call is admitted; the others get a Retry-After of one second."""
    breaker = create_breaker(clock)
    fail(breaker, clock, times=3)
    clock.sleep(5.0)
    breaker.raise_if_open()
    probe = breaker.acquire()
    assert retry_after(breaker) == 1.0
    breaker.record_success(probe)
    breaker.acquire()
    assert not breaker.is_open


def test_the_call_after_an_ignored_probe_is_a_probe(clock: VirtualClock) -> None:
    """A killed greenlet does not cost another pause."""
    breaker = create_breaker(clock)
    fail(breaker, clock, times=3)
    clock.sleep(5.0)
    breaker.ignore(breaker.acquire())
    breaker.record_success(breaker.acquire())
    assert not breaker.is_open


def test_a_lost_probe_is_replaced(clock: VirtualClock) -> None:
    """A probe without a result is replaced after its time; a result that it brings later is ignored."""
    breaker = create_breaker(clock)
    fail(breaker, clock, times=3)
    clock.sleep(5.0)
    lost = breaker.acquire()
    clock.sleep(40.0)
    second = breaker.acquire()
    breaker.record_success(lost)
    breaker.ignore(lost)
    assert breaker.is_open
    breaker.record_success(second)
    assert not breaker.is_open


def test_zero_failures_disable_it(clock: VirtualClock) -> None:
    """circuit_failures = 0: the circuit never opens."""
    breaker = create_breaker(clock, failures=0)
    fail(breaker, clock, times=1000)
    assert not breaker.is_open


def test_a_permit_acquired_while_the_circuit_opens_is_outdated(clock: VirtualClock) -> None:
    """A thread that saw the circuit closed before it opened can neither close it nor affect the probe."""
    breaker = create_breaker(clock)
    early = breaker.acquire()
    fail(breaker, clock, times=3)
    breaker.record_success(early)
    assert breaker.is_open
    clock.sleep(5.0)
    breaker.record_success(breaker.acquire())
    assert not breaker.is_open


class ClosedMeanwhile(CircuitBreaker):
    """A breaker that another thread closes between the check without the lock and the check with it."""

    def _raise_if_paused(self) -> None:
        super()._raise_if_paused()
        self._open_until = None


def test_a_circuit_that_closes_during_acquire_needs_no_probe(clock: VirtualClock) -> None:
    """If the circuit closes between the check without the lock and the check with it, the call is an ordinary one."""
    config = BreakerConfig(failure_threshold=1, first_pause_seconds=10.0, probe_seconds=40.0)
    breaker = ClosedMeanwhile(config, clock, random=lambda: 0.0, on_change=lambda _: None)
    fail(breaker, clock)
    clock.sleep(5.0)
    permit = breaker.acquire()
    breaker.record_success(permit)
    assert breaker.acquire() == permit


class Model:
    """The specification: a state, and a generation that ends with it."""

    def __init__(self) -> None:
        self.state, self.generation, self.open_until = "closed", 0, -math.inf
        self.failures, self.opens, self.last_failure = 0, 0, -math.inf

    def acquire(self, now: float) -> int | None:
        if self.state != "closed" and now < self.open_until:
            return None
        if self.state != "closed":
            self.state, self.generation, self.open_until = "half_open", self.generation + 1, now + PROBE_SECONDS
        return self.generation

    def record(self, generation: int, result: str, started_at: float, now: float, random: float) -> None:
        if generation != self.generation or (result == "failure" and started_at < self.last_failure):
            return
        if result == "ignored":
            self.state, self.open_until = ("open", now) if self.state == "half_open" else (self.state, self.open_until)
        elif result == "success":
            self.generation += self.state == "half_open"
            self.state, self.failures, self.opens = "closed", 0, 0
        else:
            self.failures, self.last_failure = self.failures + 1, now
            if self.state == "half_open" or self.failures == FAILURES:
                pause = min(SECONDS * 2**self.opens, MAX_OPEN_SECONDS) * (0.5 + random / 2)
                self.state, self.generation = "open", self.generation + 1
                self.opens, self.open_until = self.opens + 1, now + pause


class BreakerMachine(RuleBasedStateMachine):
    """Calls whose results arrive in any order, or never."""

    calls: Bundle[Any] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.model, self.random = VirtualClock(), Model(), 0.0
        self.changes: list[bool] = []
        self.breaker = CircuitBreaker(
            BreakerConfig(failure_threshold=FAILURES, first_pause_seconds=SECONDS, probe_seconds=PROBE_SECONDS),
            self.clock,
            random=lambda: self.random,
            on_change=self.changes.append,
        )

    @rule(target=calls)
    def acquire(self) -> tuple[int, int, float] | None:
        generation = self.model.acquire(self.clock.seconds)
        if generation is None:
            with pytest.raises(CircuitOpen) as checked:
                self.breaker.raise_if_open()
            seconds = retry_after(self.breaker)
            assert seconds == checked.value.context.retry_after
            maximum = 1.0 if self.model.state == "half_open" else 1e9
            assert seconds == min(self.model.open_until - self.clock.seconds, maximum)
            return None
        self.breaker.raise_if_open()
        return self.breaker.acquire(), generation, self.clock.seconds

    @rule(
        call=consumes(calls),
        result=st.sampled_from(["success", "success", "failure", "timeout", "timeout", "ignored"]),
        random=st.floats(0.0, 1.0, exclude_max=True),
    )
    def record(self, call: tuple[int, int, float] | None, result: str, random: float) -> None:
        if call is None:
            return
        permit, generation, started_at = call
        self.random = random
        self.model.record(generation, result, started_at, self.clock.seconds, random)
        if result == "success":
            self.breaker.record_success(permit)
        elif result == "ignored":
            self.breaker.ignore(permit)
        else:
            self.breaker.record_failure(permit, started_at, even_if_concurrent=result == "timeout")

    @rule(seconds=st.sampled_from([0.25, 1.0, 4.0, 9.0, 39.0, 41.0]))
    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @invariant()
    def reports_its_state(self) -> None:
        assert self.breaker.is_open == (self.model.state != "closed")
        assert self.changes == [number % 2 == 0 for number in range(len(self.changes))]
        assert (len(self.changes) % 2 == 1) == self.breaker.is_open


def test_the_breaker_matches_the_model() -> None:
    """Over random histories it admits, refuses and reports exactly what the model does."""
    run_state_machine_as_test(
        BreakerMachine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )
