"""Rate limits in Redis, shared by all workers and replicas, with the library `limits`.

The library's storage in memory is not used: it starts a timer thread with nearly every request, which costs more than
the rest of the request.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Final

from limits import RateLimitItemPerSecond
from limits.errors import ConfigurationError as MissingDependency
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from gateway.domain.backend import RateLimiter
from gateway.domain.runtime import Clock
from gateway.resilience.memory_rate_limiter import to_window
from gateway.settings import ConfigurationError, Secret

_log: Final = logging.getLogger("gateway.resilience")
#: For a connection to Redis and for a response, in seconds.
_REDIS_TIMEOUT: Final = 0.25
#: How long Redis is not used after a failure, in seconds.
_BACKOFF: Final = 5.0
_LOG_INTERVAL: Final = 60.0  # seconds
#: In seconds. After a refusal the wait must not be 0, which means that the request was counted, although the oldest
#: request may have left the window before Redis is queried for the wait.
_MIN_WAIT: Final = 0.001


class RedisRateLimiter:
    """Limits requests in Redis; while Redis is unavailable, `fallback` limits the requests of this process.

    The total rate may then exceed the limit by the number of processes; a backend that enforces its own limit returns
    429, which the gateway handles. Refusing requests instead would make Redis a hard dependency.
    """

    def __init__(self, url: Secret, fallback: RateLimiter, clock: Clock) -> None:
        self._url: Final = url
        self._connected = url.value, _create_strategy(url.value)
        self._fallback: Final = fallback
        self._clock: Final = clock
        self._retry_at = -math.inf
        self._log_at = -math.inf

    def acquire(self, key: str, per_second: float) -> float:
        """Count one request and return 0, or return the seconds to wait without counting it."""
        if self._clock.monotonic() >= self._retry_at:
            try:
                return self._acquire_in_redis(key, per_second)
            except StorageError as error:
                self._start_backoff(error)
        return self._fallback.acquire(key, per_second)

    def _acquire_in_redis(self, key: str, per_second: float) -> float:
        max_requests, seconds = to_window(per_second)
        item = RateLimitItemPerSecond(max_requests, seconds)
        url, strategy = self._connected
        if url != (current := self._url.value):  # its password has changed
            self._connected = _, strategy = current, _create_strategy(current)
        if strategy.hit(item, key):
            return 0.0
        # reset_time is the wall-clock time when the oldest request leaves the window.
        return max(strategy.get_window_stats(item, key).reset_time - time.time(), _MIN_WAIT)

    def _start_backoff(self, error: StorageError) -> None:
        """Do not use Redis for a while; log the error, but not more than once a minute."""
        now = self._clock.monotonic()
        self._retry_at = now + _BACKOFF
        if now >= self._log_at:
            self._log_at = now + _LOG_INTERVAL
            fields = {"error": type(error.storage_error).__name__}  # the error's text may contain the URL's password
            _log.warning("Redis unavailable, using per-process rate limits", extra={"fields": fields})


def _create_strategy(url: str) -> MovingWindowRateLimiter:
    try:
        storage = storage_from_string(
            url, wrap_exceptions=True, socket_timeout=_REDIS_TIMEOUT, socket_connect_timeout=_REDIS_TIMEOUT
        )
    except MissingDependency:
        raise ConfigurationError(["limits.storage: needs the extra `redis`, which is not installed"]) from None
    return MovingWindowRateLimiter(storage)
