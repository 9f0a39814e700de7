"""What every exchange of a connection passes before a byte is sent: the circuit, a free place, the rate.

Whoever is refused here has sent nothing, and the error says so. A token from IAM passes the same gate as the call
that needs it: as long as there is none the call goes nowhere, and one token a day is no load.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from gateway.domain.backend import BackendServices, RateLimiter
from gateway.domain.errors import CircuitOpen, ErrorContext, Overloaded, RateLimited
from gateway.domain.runtime import Clock
from gateway.transport.breaker import BreakerConfig, CircuitBreaker
from gateway.transport.bulkhead import FairSemaphore
from gateway.transport.failures import Failure, what_failed
from gateway.transport.settings import TransportSettings

_log: Final = logging.getLogger("gateway.transport")
#: What stands in front of a backend says these when it gets no answer. Every other reply is the backend's own, however
#: unkind: no refusal of either backend comes with one of these (CMDB: 200 and 500; ProjectMan: 4xx and 500).
_NOT_THE_BACKEND: Final = frozenset({502, 503, 504})
_CLASSES: Final = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
_RESULTS: Final = {
    Failure.MISCONFIGURED: "no_connection",
    Failure.NO_CONNECTION: "no_connection",
    Failure.NO_CONNECTION_IN_TIME: "no_connection",
    Failure.TIMEOUT: "timeout",
    Failure.BROKEN: "broken",
}
#: Any call that waits now is likely to find a place by then; seconds.
_OVERLOADED_FOR: Final = 1.0
#: A probe is given up so long after its last possible byte; seconds.
_PROBE_MARGIN: Final = 5.0


class AdmissionControl:
    """The gate of one connection; safe to share between threads and greenlets."""

    def __init__(
        self,
        name: str,
        limits: TransportSettings,
        clock: Clock,
        services: BackendServices,
        *,
        random: Callable[[], float],
    ) -> None:
        self._name: Final = name
        self._clock: Final = clock
        self._observer: Final = services.metrics
        self._limiter: Final = services.limiter if limits.requests_per_second else None
        self._rate: Final = limits.requests_per_second
        self._key: Final = f"backend:{name}"
        self._slots: Final = FairSemaphore(limits.concurrent_calls, limits.queued_calls)
        rule = BreakerConfig(
            failures=limits.circuit_failures,
            seconds=limits.circuit_seconds,
            probe_seconds=limits.hard_timeout_seconds + _PROBE_MARGIN,
        )
        self._breaker: Final = CircuitBreaker(rule, clock, random=random, on_change=self._changed)
        # Who had less time than this and met a timeout was in a hurry, and tells nothing about the backend.
        connecting, hard = limits.connect_seconds, limits.hard_timeout_seconds
        self._patience: Final = {
            Failure.NO_CONNECTION_IN_TIME: min(connecting, hard),
            Failure.TIMEOUT: min(max(connecting, hard / 4.0), hard),
        }

    @property
    def is_open(self) -> bool:
        """Tell whether calls are held back because the backend has been failing."""
        return self._breaker.is_open

    def enter(self, started: float, seconds: float) -> int:
        """Let one exchange through that has so many seconds left, and return its ticket.

        Raises CircuitOpen, Overloaded or RateLimited. Nobody waits longer for a place than is then left to use it.
        """
        try:
            self._breaker.check()
            self._take(seconds / 2.0)
            return self._admit()
        except (CircuitOpen, Overloaded, RateLimited) as error:
            self._tell(error.code, started)
            raise

    def answered(self, ticket: int, status: int, began: float) -> None:
        """Hear that an exchange brought a reply."""
        self._slots.give()
        if status in _NOT_THE_BACKEND:
            self._breaker.failed(ticket, began, lasting=False)
        else:
            self._breaker.succeeded(ticket)
        self._tell(_CLASSES.get(status // 100, "broken"), began)

    def failed(self, ticket: int, error: BaseException, began: float, *, given: float) -> None:
        """Hear that an exchange which was given so many seconds brought none."""
        self._slots.give()
        failure = what_failed(error)
        needed = self._patience.get(failure)
        if failure is Failure.MISCONFIGURED or (needed is not None and given < needed):
            self._breaker.proved_nothing(ticket)
        else:
            self._breaker.failed(ticket, began, lasting=needed is not None)
        self._tell(_RESULTS[failure], began)

    def gave_up(self, ticket: int, began: float) -> None:
        """Hear that an exchange ended in a way that says nothing: too large a reply, a killed greenlet."""
        self.withdraw(ticket)
        self._tell("broken", began)

    def withdraw(self, ticket: int) -> None:
        """Hear that nothing was sent after all."""
        self._slots.give()
        self._breaker.proved_nothing(ticket)

    def _take(self, seconds: float) -> None:
        if not self._slots.take(seconds):
            raise Overloaded(context=ErrorContext(retry_after=_OVERLOADED_FOR))

    def _admit(self) -> int:
        """Pass the circuit and the rate, in a place that is given back where either refuses."""
        try:
            ticket = self._breaker.enter()  # again: it may have opened during the wait
        except CircuitOpen:
            self._slots.give()
            raise
        if self._limiter is not None:  # last, so that what is counted is sent
            try:
                self._count(self._limiter)
            except BaseException:
                self.withdraw(ticket)
                raise
        return ticket

    def _count(self, limiter: RateLimiter) -> None:
        seconds = limiter.acquire(self._key, self._rate)
        if seconds > 0:
            what = "The gateway's own limit of requests a second to this backend is reached; nothing was sent."
            raise RateLimited(what, context=ErrorContext(retry_after=seconds))

    def _tell(self, result: str, began: float) -> None:
        if self._observer is not None:
            self._observer.record_exchange(self._name, result, self._clock.monotonic() - began)

    def _changed(self, is_open: bool) -> None:  # noqa: FBT001 - a callback's one parameter
        facts = {"backend": self._name, "open": is_open}
        _log.warning("the circuit changed", extra={"fields": facts})
        if self._observer is not None:
            self._observer.record_circuit_state(self._name, is_open=is_open)
