"""Leaves a backend alone that does not answer, and finds out with one call at a time when it is back.

The rule counts failures in a row. A share of failures within a window would also hold calls back from a backend that
still serves half of them; in a row means that nobody gets through, at any traffic, and costs two comparisons a call.
What breaks many calls at one moment, as the restart of one server behind an address does, is one failure: only an
exchange that began after the last failure was noticed proves another one. A timeout that was given enough time is no
matter of a moment, and each counts.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.domain.errors import CircuitOpen, ErrorContext
from gateway.domain.runtime import Clock

#: However often a probe fails, the next one comes after so long; seconds.
LONGEST: Final = 60.0
#: What to tell those who come while a probe is on its way; seconds.
_SOON: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerConfig:
    """When to leave a backend alone, and for how long."""

    failures: int  # in a row; 0: never
    seconds: float  # the first pause at most: a random part of its second half is left out
    probe_seconds: float  # a probe that has not told its result by then is lost


class CircuitBreaker:
    """Closed, open, or open with a probe on its way.

    `enter` hands out a ticket, and a result is heard only with the ticket of the present phase: what was sent before
    the circuit opened says nothing about the backend as it is now. While the circuit is closed and calls succeed no
    lock is taken: single attributes are read, which is atomic, and an outdated one is caught by the ticket.
    """

    def __init__(
        self, rule: BreakerConfig, clock: Clock, *, random: Callable[[], float], on_change: Callable[[bool], None]
    ) -> None:
        """`random` returns numbers from 0 up to 1; `on_change` is told True when the circuit opens."""
        self._rule: Final = rule
        self._clock: Final = clock
        self._random: Final = random
        self._on_change: Final = on_change
        self._lock: Final = threading.Lock()  # held for a few steps that wait for nothing
        self._phase = 0
        self._failures = 0  # in a row; stays above 0 as long as the circuit is open
        self._openings = 0  # in a row
        self._noticed = -math.inf  # when the last failure was
        self._until: float | None = None  # open until then, or until the probe is taken for lost; None: closed
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Tell whether calls are held back."""
        return self._until is not None

    def check(self) -> None:
        """Raise CircuitOpen where enter() would, without becoming the probe."""
        if self._until is not None:
            with self._lock:
                self._refuse()

    def enter(self) -> int:
        """Return the ticket for one exchange, or raise CircuitOpen; when the pause is over, the first is the probe."""
        phase = self._phase  # read first: where the circuit opens meanwhile, this ticket is an outdated one
        if self._until is None:
            return phase
        with self._lock:
            self._refuse()
            if self._until is not None:
                self._phase += 1
                self._probing = True
                self._until = self._clock.monotonic() + self._rule.probe_seconds
            return self._phase

    def succeeded(self, ticket: int) -> None:
        """Hear that the backend answered, whatever it said."""
        if not self._failures:
            return
        with self._lock:
            if ticket != self._phase:
                return
            self._failures = 0
            if not self._probing:
                return
            self._phase += 1
            self._openings = 0
            self._until = None
            self._probing = False
        self._on_change(False)  # noqa: FBT003 - the callback's one parameter is the state

    def failed(self, ticket: int, began: float, *, lasting: bool) -> None:
        """Hear that nobody answered an exchange that began then; `lasting`: it was a matter of more than a moment."""
        with self._lock:
            if ticket != self._phase or not (lasting or began >= self._noticed):
                return
            self._noticed = self._clock.monotonic()
            self._failures += 1
            if not self._probing and not 0 < self._rule.failures <= self._failures:
                return
            opens = self._until is None
            self._open()
        if opens:
            self._on_change(True)  # noqa: FBT003 - the same

    def proved_nothing(self, ticket: int) -> None:
        """Hear that an exchange ended without telling anything; where it was the probe, the next call is another."""
        if self._until is None:
            return
        with self._lock:
            if self._probing and ticket == self._phase:
                self._probing = False
                self._until = self._clock.monotonic()

    def _refuse(self) -> None:
        left = 0.0 if self._until is None else self._until - self._clock.monotonic()
        if left > 0:
            raise CircuitOpen(context=ErrorContext(retry_after=min(left, _SOON) if self._probing else left))

    def _open(self) -> None:
        self._phase += 1
        self._openings += 1
        longest = min(self._rule.seconds * 2.0 ** (self._openings - 1), max(LONGEST, self._rule.seconds))
        self._until = self._noticed + longest * (1.0 + self._random()) / 2.0
        self._probing = False
