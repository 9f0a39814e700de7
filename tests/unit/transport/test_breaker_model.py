"""The circuit breaker against a model of a few lines, over histories of calls and results that nobody thought of."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from gateway.domain.errors import CircuitOpen
from gateway.transport.breaker import LONGEST, BreakerConfig, CircuitBreaker
from tests.conftest import VirtualClock

FAILURES, SECONDS, PROBE = 3, 10.0, 40.0


class Model:
    """What the breaker should do, written down as plainly as it goes: a state, and an era that ends with it."""

    def __init__(self) -> None:
        self.state, self.era, self.until = "closed", 0, -math.inf
        self.failures, self.openings, self.noticed = 0, 0, -math.inf

    def enter(self, now: float) -> int | None:
        if self.state != "closed" and now < self.until:
            return None
        if self.state != "closed":
            self.state, self.era, self.until = "probing", self.era + 1, now + PROBE
        return self.era

    def hear(self, era: int, result: str, began: float, now: float, drawn: float) -> None:
        if era != self.era or (result == "moment" and began < self.noticed):
            return
        if result == "nothing":
            self.state, self.until = ("open", now) if self.state == "probing" else (self.state, self.until)
        elif result == "success":
            self.era += self.state == "probing"
            self.state, self.failures, self.openings = "closed", 0, 0
        else:
            self.failures, self.noticed = self.failures + 1, now
            if self.state == "probing" or self.failures == FAILURES:
                pause = min(SECONDS * 2**self.openings, LONGEST) * (0.5 + drawn / 2)
                self.state, self.era, self.openings, self.until = "open", self.era + 1, self.openings + 1, now + pause


class Breaking(RuleBasedStateMachine):
    """Calls that go out, and whose results come back in any order, or never."""

    calls: Bundle[Any] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.model, self.drawn = VirtualClock(), Model(), 0.0
        self.changes: list[bool] = []
        self.breaker = CircuitBreaker(
            BreakerConfig(failures=FAILURES, seconds=SECONDS, probe_seconds=PROBE),
            self.clock,
            random=lambda: self.drawn,
            on_change=self.changes.append,
        )

    @rule(target=calls)
    def enter(self) -> tuple[int, int, float] | None:
        expected = self.model.enter(self.clock.seconds)
        if expected is None:
            with pytest.raises(CircuitOpen) as checked:
                self.breaker.check()
            with pytest.raises(CircuitOpen) as refused:
                self.breaker.enter()
            told = refused.value.context.retry_after
            assert told == checked.value.context.retry_after
            assert told == min(self.model.until - self.clock.seconds, 1.0 if self.model.state == "probing" else 1e9)
            return None
        self.breaker.check()
        return self.breaker.enter(), expected, self.clock.seconds

    @rule(
        call=consumes(calls),
        result=st.sampled_from(["success", "success", "moment", "lasting", "lasting", "nothing"]),
        drawn=st.floats(0.0, 1.0, exclude_max=True),
    )
    def hear(self, call: tuple[int, int, float] | None, result: str, drawn: float) -> None:
        if call is None:
            return
        ticket, era, began = call
        self.drawn = drawn
        self.model.hear(era, result, began, self.clock.seconds, drawn)
        if result == "success":
            self.breaker.succeeded(ticket)
        elif result == "nothing":
            self.breaker.proved_nothing(ticket)
        else:
            self.breaker.failed(ticket, began, lasting=result == "lasting")

    @rule(seconds=st.sampled_from([0.25, 1.0, 4.0, 9.0, 39.0, 41.0]))
    def wait(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @invariant()
    def shows_its_state(self) -> None:
        assert self.breaker.is_open == (self.model.state != "closed")
        assert self.changes == [number % 2 == 0 for number in range(len(self.changes))]
        assert (len(self.changes) % 2 == 1) == self.breaker.is_open


def test_the_breaker_does_what_the_model_says() -> None:
    """Whatever happens, it lets in, refuses and tells exactly that."""
    run_state_machine_as_test(Breaking, settings=settings(max_examples=150, stateful_step_count=40, deadline=None))
