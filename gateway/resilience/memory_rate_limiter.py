"""Rate limits in the memory of one process."""

from __future__ import annotations

import threading
from collections import deque
from fractions import Fraction
from functools import cache
from typing import Final, NamedTuple

from gateway.domain.runtime import Clock


class RateWindow(NamedTuple):
    """At most `max_requests` requests in any period of `seconds`."""

    max_requests: int
    seconds: int


@cache  # the configuration has few rates
def to_window(per_second: float) -> RateWindow:
    """Return a rate as whole requests in whole seconds: 100 is 100 in 1, 0.5 is 1 in 2.

    With denominators of at most 60 the numbers are small, and exact to one percent.
    """
    if per_second >= 1.0:
        requests_per_second = Fraction(per_second).limit_denominator(60)
        return RateWindow(requests_per_second.numerator, requests_per_second.denominator)
    seconds_per_request = Fraction(1.0 / per_second).limit_denominator(60)
    return RateWindow(seconds_per_request.denominator, seconds_per_request.numerator)


class MovingWindowLimiter:
    """Limits requests in every period of the window's length, wherever it starts.

    A fixed window needs less memory, but allows twice the rate around its end, which a backend with its own limit
    refuses. Here each key stores the times of the requests in its window.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._lock: Final = threading.Lock()  # held briefly, without I/O
        self._request_times: Final[dict[str, deque[float]]] = {}  # by key; the oldest at the left

    def acquire(self, key: str, per_second: float) -> float:
        """Count one request and return 0, or return the seconds to wait without counting it."""
        window = to_window(per_second)
        with self._lock:
            now = self._clock.monotonic()
            request_times = self._request_times.get(key)
            if request_times is None:
                request_times = self._request_times[key] = deque()
            while request_times and request_times[0] <= now - window.seconds:
                request_times.popleft()
            if len(request_times) >= window.max_requests:
                return request_times[0] + window.seconds - now
            request_times.append(now)
            return 0.0
