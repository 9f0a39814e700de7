"""Checks before each exchange: circuit breaker, concurrency limit, rate limit.

A refused call has sent nothing, and its error says so. Requests for an IAM token pass the same checks as the call that
needs the token: without one the call cannot be sent, and one token a day is no load.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from gateway.domain.backend import BackendServices, RateLimiter
from gateway.domain.errors import CircuitOpen, ErrorContext, Overloaded, RateLimited
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.transport.breaker import BreakerConfig, CircuitBreaker
from gateway.transport.bulkhead import FairSemaphore
from gateway.transport.failures import FailureKind, classify
from gateway.transport.settings import TransportSettings

_log: Final = logging.getLogger("gateway.transport")
#: A proxy in front of the backend answers with these when the backend does not. Every other status is the backend's
#: own: neither backend refuses anything with one of these (CMDB: 200 and 500; ProjectMan: 4xx and 500).
_PROXY_STATUSES: Final = frozenset({502, 503, 504})
_STATUS_RESULTS: Final = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
_FAILURE_RESULTS: Final = {
    FailureKind.MISCONFIGURED: "no_connection",
    FailureKind.NO_CONNECTION: "no_connection",
    FailureKind.CONNECT_TIMEOUT: "no_connection",
    FailureKind.TIMEOUT: "timeout",
    FailureKind.BROKEN: "broken",
}
#: Retry-After of an overloaded connection, in seconds: the calls that wait now have probably been sent by then.
_OVERLOADED_RETRY_AFTER: Final = 1.0
#: How long after its hard timeout a probe without a result counts as lost, in seconds.
_PROBE_MARGIN: Final = 5.0


class AdmissionControl:
    """The admission control of one connection; threads and greenlets may share it."""

    def __init__(
        self,
        name: str,
        settings: TransportSettings,
        clock: Clock,
        services: BackendServices,
        *,
        random: Callable[[], float],
    ) -> None:
        self._name: Final = name
        self._clock: Final = clock
        self._metrics: Final = services.metrics
        self._limiter: Final = services.limiter if settings.requests_per_second else None
        self._rate: Final = settings.requests_per_second
        self._key: Final = f"backend:{name}"
        self._slots: Final = FairSemaphore(settings.concurrent_calls, settings.queued_calls)
        config = BreakerConfig(
            failures=settings.circuit_failures,
            seconds=settings.circuit_seconds,
            probe_seconds=settings.hard_timeout_seconds + _PROBE_MARGIN,
        )
        self._breaker: Final = CircuitBreaker(config, clock, random=random, on_change=self._on_circuit_change)
        # A timeout of an exchange that had less time than this proves nothing about the backend.
        connect, hard = settings.connect_seconds, settings.hard_timeout_seconds
        self._min_timeout: Final = {
            FailureKind.CONNECT_TIMEOUT: min(connect, hard),
            FailureKind.TIMEOUT: min(max(connect, hard / 4.0), hard),
        }

    @property
    def is_open(self) -> bool:
        """Return whether the circuit is open: calls are refused because the backend has been failing."""
        return self._breaker.is_open

    def admit(self, started: float, seconds: float) -> int:
        """Return the permit for one exchange that has `seconds` left.

        Raises CircuitOpen, Overloaded or RateLimited. A call waits for a slot for at most half of its time.
        """
        try:
            self._breaker.raise_if_open()
            self._acquire_slot(seconds / 2.0)
            return self._pass_checks()
        except (CircuitOpen, Overloaded, RateLimited) as error:
            self._record(error.code, started)
            raise

    def on_response(self, permit: int, status: int, started: float) -> None:
        """Report that an exchange brought a response."""
        self._slots.release()
        if status in _PROXY_STATUSES:
            self._breaker.record_failure(permit, started, counts_always=False)
        else:
            self._breaker.record_success(permit)
        self._record(_STATUS_RESULTS.get(status // 100, "broken"), started)

    def on_failure(self, permit: int, error: BaseException, started: float, *, timeout: float) -> None:
        """Report that an exchange that had `timeout` seconds failed."""
        self._slots.release()
        kind = classify(error)
        minimum = self._min_timeout.get(kind)
        if kind is FailureKind.MISCONFIGURED or (minimum is not None and timeout < minimum):
            self._breaker.ignore(permit)
        else:
            self._breaker.record_failure(permit, started, counts_always=minimum is not None)
        self._record(_FAILURE_RESULTS[kind], started)

    def on_abort(self, permit: int, started: float) -> None:
        """Report an exchange whose end proves nothing: a response that is too large, a killed greenlet."""
        self.on_cancel(permit)
        self._record("broken", started)

    def on_cancel(self, permit: int) -> None:
        """Report that nothing was sent after all."""
        self._slots.release()
        self._breaker.ignore(permit)

    def _acquire_slot(self, seconds: float) -> None:
        if not self._slots.acquire(seconds):
            raise Overloaded(context=ErrorContext(retry_after=_OVERLOADED_RETRY_AFTER))

    def _pass_checks(self) -> int:
        """Return the permit of the circuit breaker if the rate allows a request; give the slot back if not."""
        try:
            permit = self._breaker.acquire()  # again: it may have opened during the wait
        except CircuitOpen:
            self._slots.release()
            raise
        if self._limiter is not None:  # last, so that every request that is counted is sent
            try:
                self._rate_limit(self._limiter)
            except BaseException:
                self.on_cancel(permit)
                raise
        return permit

    def _rate_limit(self, limiter: RateLimiter) -> None:
        seconds = limiter.acquire(self._key, self._rate)
        if seconds > 0:
            detail = message("backend_rate_limited")
            raise RateLimited(detail, context=ErrorContext(retry_after=seconds))

    def _record(self, result: str, started: float) -> None:
        if self._metrics is not None:
            self._metrics.record_exchange(self._name, result, self._clock.monotonic() - started)

    def _on_circuit_change(self, is_open: bool) -> None:  # noqa: FBT001 - a callback's one parameter
        _log.warning("circuit breaker state changed", extra={"fields": {"backend": self._name, "open": is_open}})
        if self._metrics is not None:
            self._metrics.record_circuit_state(self._name, is_open=is_open)
