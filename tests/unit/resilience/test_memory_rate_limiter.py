"""Rate limits in the memory of one process."""

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
def test_to_window(per_second: float, expected: RateWindow) -> None:
    """A rate becomes whole requests in whole seconds: half a request a second is one in two seconds."""
    assert to_window(per_second) == expected


@given(per_second=st.floats(0.001, 1e6))
def test_to_window_is_exact_to_one_percent(per_second: float) -> None:
    """The window has the configured rate within one percent."""
    amount, seconds = to_window(per_second)
    assert amount >= 1
    assert seconds >= 1
    assert amount / seconds == pytest.approx(per_second, rel=0.01)


@given(pauses=st.lists(st.floats(0.0, 0.7), max_size=80), per_second=st.sampled_from([0.5, 1.0, 2.5, 4.0]))
def test_never_more_than_the_rate_in_any_window(pauses: list[float], per_second: float) -> None:
    """No period of the window's length has more requests than allowed, and no wait is longer than the window."""
    clock = VirtualClock()
    limiter, window, accepted = MovingWindowLimiter(clock), to_window(per_second), list[float]()
    for pause in pauses:
        clock.sleep(pause)
        wait = limiter.acquire("a", per_second)
        if wait == 0:
            accepted.append(clock.seconds)
            continue
        assert 0 < wait <= window.seconds
    for start in accepted:
        # floats of this size are exact to a quarter of a microsecond
        assert sum(start <= time < start + window.seconds - 1e-6 for time in accepted) <= window.max_requests


def test_wait(clock: VirtualClock) -> None:
    """A refused request is not counted: the wait ends when the oldest request leaves the window."""
    limiter = MovingWindowLimiter(clock)
    assert [limiter.acquire("a", 2.0), limiter.acquire("a", 2.0)] == [0.0, 0.0]
    clock.sleep(0.25)
    assert [limiter.acquire("a", 2.0) for _ in range(5)] == [0.75] * 5
    clock.sleep(0.75)
    assert [limiter.acquire("a", 2.0), limiter.acquire("a", 2.0)] == [0.0, 0.0]
    assert limiter.acquire("a", 2.0) == 1.0


def test_keys_are_independent(clock: VirtualClock) -> None:
    """Requests of one key do not count for another."""
    limiter = create_rate_limiter("memory://", clock)
    assert [limiter.acquire(key, 1.0) for key in ("a", "b", "a", "b")] == [0.0, 0.0, 1.0, 1.0]


def test_threads_share_the_limit(clock: VirtualClock) -> None:
    """Of ten thousand requests of twenty threads exactly a hundred are accepted."""
    limiter, accepted = MovingWindowLimiter(clock), list[float]()

    def acquire() -> None:
        accepted.extend(wait for _ in range(500) if (wait := limiter.acquire("a", 100.0)) == 0.0)

    threads = [threading.Thread(target=acquire) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 100
