"""A circuit breaker: holds calls back from a backend that fails, and probes it with one call at a time.

It counts consecutive failures. A failure rate within a window would also hold calls back from a backend that serves
half of them; consecutive failures mean that no call succeeds, at any traffic, and cost two comparisons a call. One
event, such as the restart of one server behind an address, breaks many calls at once and is one failure: only an
exchange that started after the last recorded failure counts as another failure. A timeout is not caused by such a
momentary event, so each timeout counts.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.domain.errors import CircuitOpen, ErrorContext
from gateway.domain.runtime import Clock

#: The longest pause between two probes, in seconds, unless the first one is longer already.
MAX_OPEN_SECONDS: Final = 60.0
#: Retry-After while a probe is under way, in seconds.
_PROBE_RETRY_AFTER: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerConfig:
    """When a circuit opens, and for how long."""

    failure_threshold: int  # consecutive failures that open the circuit; 0: it never opens
    first_pause_seconds: float  # before jitter, which shortens a pause to between a half and all of it
    probe_seconds: float  # a probe without a result after this time is lost


class CircuitBreaker:
    """Closed, open, or half open with one probe under way.

    `acquire` returns a permit, which is the number of the current generation, and only results with the permit of the
    current generation count: a request that was sent before the circuit opened proves nothing about the backend now.
    While the circuit is closed and calls succeed, attributes are read without the lock. That is safe because each read
    is atomic, and a permit that was read before another thread opened the circuit is outdated.
    """

    def __init__(
        self, config: BreakerConfig, clock: Clock, *, random: Callable[[], float], on_change: Callable[[bool], None]
    ) -> None:
        """`random` returns numbers from 0 up to 1; `on_change` is called with True when the circuit opens."""
        self._config: Final = config
        self._clock: Final = clock
        self._random: Final = random
        self._on_change: Final = on_change
        self._lock: Final = threading.Lock()  # never held while waiting
        self._generation = 0
        self._consecutive_failures = 0  # above 0 while the circuit is open
        self._consecutive_opens = 0
        self._last_failure_at = -math.inf
        self._open_until: float | None = None  # the end of the pause or of a probe's time; None: closed
        self._half_open = False

    @property
    def is_open(self) -> bool:
        """Return whether the circuit is open or half open."""
        return self._open_until is not None

    def raise_if_open(self) -> None:
        """Raise CircuitOpen if acquire() would raise it; unlike acquire(), start no probe."""
        if self._open_until is not None:
            with self._lock:
                self._raise_if_paused()

    def acquire(self) -> int:
        """Return the permit for one exchange, or raise CircuitOpen; the first exchange after a pause is the probe."""
        generation = self._generation  # read first: if the circuit opens meanwhile, this permit is outdated
        if self._open_until is None:
            return generation
        with self._lock:
            self._raise_if_paused()
            if self._open_until is not None:  # not closed by another thread in the meantime
                self._generation += 1
                self._half_open = True
                self._open_until = self._clock.monotonic() + self._config.probe_seconds
            return self._generation

    def record_success(self, permit: int) -> None:
        """Record that the backend responded, with any status; the success of a probe closes the circuit."""
        if not self._consecutive_failures:  # the usual case, without the lock
            return
        with self._lock:
            if permit != self._generation:
                return
            self._consecutive_failures = 0
            if not self._half_open:
                return
            self._generation += 1
            self._consecutive_opens = 0
            self._open_until = None
            self._half_open = False
        self._on_change(False)  # noqa: FBT003 - the callback's one parameter is the state

    def record_failure(self, permit: int, started_at: float, *, even_if_concurrent: bool) -> None:
        """Record that an exchange got no response; the failure of a probe or of too many exchanges opens the circuit.

        Of several failures at the same time only the first counts, unless `even_if_concurrent`.
        """
        with self._lock:
            counts = even_if_concurrent or started_at >= self._last_failure_at
            if permit != self._generation or not counts:
                return
            self._last_failure_at = self._clock.monotonic()
            self._consecutive_failures += 1
            reaches_threshold = 0 < self._config.failure_threshold <= self._consecutive_failures
            if not (self._half_open or reaches_threshold):  # half open: the probe failed
                return
            was_closed = self._open_until is None
            self._open()
        if was_closed:
            self._on_change(True)  # noqa: FBT003 - the callback's one parameter is the state

    def ignore(self, permit: int) -> None:
        """Record an exchange whose end proves nothing; if it was the probe, the next call becomes the probe."""
        if self._open_until is None:
            return
        with self._lock:
            if self._half_open and permit == self._generation:
                self._half_open = False
                self._open_until = self._clock.monotonic()  # the circuit stays open, but its pause is over

    def _raise_if_paused(self) -> None:
        """Raise CircuitOpen during a pause and while a probe is under way; the caller holds the lock."""
        remaining = 0.0 if self._open_until is None else self._open_until - self._clock.monotonic()
        if remaining > 0:
            retry_after = min(remaining, _PROBE_RETRY_AFTER) if self._half_open else remaining
            raise CircuitOpen(context=ErrorContext(retry_after=retry_after))

    def _open(self) -> None:
        """Start a pause, twice as long as the one before; the caller holds the lock."""
        self._generation += 1
        self._consecutive_opens += 1
        first_pause = self._config.first_pause_seconds
        limit = max(MAX_OPEN_SECONDS, first_pause)
        pause = min(first_pause * 2.0 ** (self._consecutive_opens - 1), limit)
        jitter = (1.0 + self._random()) / 2.0  # from 0.5 to 1, so that not all processes probe at one time
        self._open_until = self._last_failure_at + pause * jitter
        self._half_open = False
