"""Counting requests in a process's own memory."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.resilience import create_rate_limiter
from gateway.resilience.memory_rate_limiter import MovingWindowLimiter, RateWindow, to_window
from tests.conftest import VirtualClock


@pytest.mark.parametrize(
    ("per_second", "expected"),
    [
        (100.0, RateWindow(100, 1)),
        (1.0, RateWindow(1, 1)),
        (2.5, RateWindow(5, 2)),
        (0.5, RateWindow(1, 2)),
        (0.75, RateWindow(3, 4)),
        (1 / 3, RateWindow(1, 3)),
        (0.001, RateWindow(1, 1000)),
        (1e6, RateWindow(1_000_000, 1)),
    ],
)
def test_a_rate_is_whole_requests_in_whole_seconds(per_second: float, expected: RateWindow) -> None:
    """Half a request a second is one in two seconds."""
    assert to_window(per_second) == expected


@given(per_second=st.floats(0.001, 1e6))
def test_no_rate_is_rounded_by_more_than_a_hundredth(per_second: float) -> None:
    """Whatever an operator writes, what is counted is what he meant."""
    amount, seconds = to_window(per_second)
    assert amount >= 1
    assert seconds >= 1
    assert amount / seconds == pytest.approx(per_second, rel=0.01)


@given(pauses=st.lists(st.floats(0.0, 0.7), max_size=80), per_second=st.sampled_from([0.5, 1.0, 2.5, 4.0]))
def test_never_more_than_the_rate_in_any_window(pauses: list[float], per_second: float) -> None:
    """Wherever one begins to count; and whoever comes back after the wait he was told finds a place."""
    clock = VirtualClock()
    limiter, allowed, let_in = MovingWindowLimiter(clock), to_window(per_second), list[float]()
    for pause in pauses:
        clock.sleep(pause)
        wait = limiter.acquire("a", per_second)
        if wait == 0:
            let_in.append(clock.seconds)
            continue
        assert 0 < wait <= allowed.seconds
    for begin in let_in:
        # times of this size are exact to a quarter of a microsecond
        assert sum(begin <= time < begin + allowed.seconds - 1e-6 for time in let_in) <= allowed.amount


def test_who_waits_as_told_gets_a_place(clock: VirtualClock) -> None:
    """A refusal counts nothing: it is the oldest request that has to leave the window."""
    limiter = MovingWindowLimiter(clock)
    assert [limiter.acquire("a", 2.0), limiter.acquire("a", 2.0)] == [0.0, 0.0]
    clock.sleep(0.25)
    assert [limiter.acquire("a", 2.0) for _ in range(5)] == [0.75] * 5
    clock.sleep(0.75)
    assert [limiter.acquire("a", 2.0), limiter.acquire("a", 2.0)] == [0.0, 0.0]
    assert limiter.acquire("a", 2.0) == 1.0


def test_each_key_is_counted_apart(clock: VirtualClock) -> None:
    """One caller's requests are not another's."""
    limiter = create_rate_limiter("memory://", clock)
    assert [limiter.acquire(key, 1.0) for key in ("a", "b", "a", "b")] == [0.0, 0.0, 1.0, 1.0]


def test_threads_together_get_what_is_allowed(clock: VirtualClock) -> None:
    """Twenty threads that ask five hundred times each get exactly a hundred places."""
    limiter, places = MovingWindowLimiter(clock), list[float]()

    def ask() -> None:
        places.extend(wait for _ in range(500) if (wait := limiter.acquire("a", 100.0)) == 0.0)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(places) == 100
