"""Checks before each exchange: circuit breaker, concurrency limit, rate limit.

A refused call has sent nothing, and its error says so. A request for an IAM token passes the same checks as any other
call: the call that needs the token cannot be sent without it, and one token a day adds no load.
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
#: Statuses of a proxy whose backend does not respond. The backends themselves never use them: CMDB refuses with 200
#: and 500, ProjectMan with 4xx and 500.
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
    """The admission control of one connection; threads and greenlets may share it.

    Every admitted exchange holds a slot (one of the concurrent calls) and a permit of the circuit breaker. It ends with
    exactly one of `on_response`, `on_failure`, `on_abort` and `on_cancel`, which give both back.
    """

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
        self._rate_limiter: Final = services.limiter if settings.requests_per_second else None
        self._requests_per_second: Final = settings.requests_per_second
        self._rate_limit_key: Final = f"backend:{name}"
        self._semaphore: Final = FairSemaphore(settings.concurrent_calls, settings.queued_calls)
        config = BreakerConfig(
            failure_threshold=settings.circuit_failures,
            first_pause_seconds=settings.circuit_seconds,
            probe_seconds=settings.hard_timeout_seconds + _PROBE_MARGIN,
        )
        self._breaker: Final = CircuitBreaker(config, clock, random=random, on_change=self._on_circuit_change)
        # Callers choose deadlines, and with a short deadline a call to a healthy backend times out too. So a timeout is
        # a failure of the backend only if the exchange had at least these seconds. A healthy backend responds within a
        # quarter of the hard timeout.
        connect, hard = settings.connect_seconds, settings.hard_timeout_seconds
        self._min_timeouts: Final = {
            FailureKind.CONNECT_TIMEOUT: min(connect, hard),
            FailureKind.TIMEOUT: min(max(connect, hard / 4.0), hard),
        }

    @property
    def is_open(self) -> bool:
        """Return whether the circuit is open: calls are refused because the backend has been failing."""
        return self._breaker.is_open

    def admit(self, started_at: float, seconds: float, caller: str = "") -> int:
        """Return the circuit breaker's permit for one exchange that has `seconds` left; it also takes a slot.

        The callers that wait get slots in turn.

        Raises CircuitOpen, Overloaded or RateLimited. `started_at` is the monotonic time when the call began.
        """
        try:
            self._breaker.raise_if_open()
            self._wait_for_slot(seconds / 2.0, caller)  # the other half is left for the exchange
            return self._acquire_permit()
        except (CircuitOpen, Overloaded, RateLimited) as error:
            self._record_exchange(error.code, started_at)
            raise

    def on_response(self, permit: int, status: int, started_at: float) -> None:
        """Record a response. The statuses by which a proxy reports that its backend does not respond are failures."""
        self._semaphore.release()
        if status in _PROXY_STATUSES:
            self._breaker.record_failure(permit, started_at, even_if_concurrent=False)
        else:
            self._breaker.record_success(permit)
        self._record_exchange(_STATUS_RESULTS.get(status // 100, "broken"), started_at)

    def on_failure(self, permit: int, error: BaseException, started_at: float, *, timeout: float) -> None:
        """Record that an exchange of at most `timeout` seconds brought no response."""
        self._semaphore.release()
        kind = classify(error)
        min_timeout = self._min_timeouts.get(kind)  # None: not a timeout
        if kind is FailureKind.MISCONFIGURED or (min_timeout is not None and timeout < min_timeout):
            self._breaker.ignore(permit)
        else:
            self._breaker.record_failure(permit, started_at, even_if_concurrent=min_timeout is not None)
        self._record_exchange(_FAILURE_RESULTS[kind], started_at)

    def on_abort(self, permit: int, started_at: float) -> None:
        """Record an exchange whose end proves nothing about the backend: a response too large, a killed greenlet."""
        self.on_cancel(permit)
        self._record_exchange("broken", started_at)

    def on_cancel(self, permit: int) -> None:
        """Give the slot and the permit back without recording an exchange."""
        self._semaphore.release()
        self._breaker.ignore(permit)

    def _wait_for_slot(self, seconds: float, caller: str) -> None:
        if not self._semaphore.acquire(seconds, caller):
            raise Overloaded(context=ErrorContext(retry_after=_OVERLOADED_RETRY_AFTER))

    def _acquire_permit(self) -> int:
        """Return a permit of the circuit breaker if the rate limit allows a request; on an error release the slot."""
        try:
            permit = self._breaker.acquire()  # raises if the circuit has opened during the wait for the slot
        except CircuitOpen:
            self._semaphore.release()
            raise
        if self._rate_limiter is not None:  # the last check, so that every request that it counts is sent
            try:
                self._check_rate_limit(self._rate_limiter)
            except BaseException:
                self.on_cancel(permit)
                raise
        return permit

    def _check_rate_limit(self, limiter: RateLimiter) -> None:
        wait_seconds = limiter.acquire(self._rate_limit_key, self._requests_per_second)
        if wait_seconds > 0:
            raise RateLimited(message("backend_rate_limited"), context=ErrorContext(retry_after=wait_seconds))

    def _record_exchange(self, result: str, started_at: float) -> None:
        if self._metrics is not None:
            self._metrics.record_exchange(self._name, result, self._clock.monotonic() - started_at)

    def _on_circuit_change(self, is_open: bool) -> None:  # noqa: FBT001 - a callback's one parameter
        _log.warning("circuit breaker state changed", extra={"fields": {"backend": self._name, "open": is_open}})
        if self._metrics is not None:
            self._metrics.record_circuit_state(self._name, is_open=is_open)
