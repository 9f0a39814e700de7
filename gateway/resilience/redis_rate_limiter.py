"""Counts requests in a Redis, for all workers and replicas together; the only module that knows the library `limits`.

The library's counting in memory is not used: it starts a timer thread with nearly every request, and costs more than
the request does otherwise.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Final

from limits import RateLimitItemPerSecond
from limits.errors import ConfigurationError as Unusable
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from gateway.domain.backend import RateLimiter
from gateway.domain.runtime import Clock
from gateway.resilience.memory_rate_limiter import to_window
from gateway.settings import ConfigurationError

_log: Final = logging.getLogger("gateway.resilience")
#: Nobody waits longer for Redis, neither for a connection nor for an answer; seconds.
_PATIENCE: Final = 0.25
#: A Redis that failed is not asked again for so long; seconds.
_LEFT_ALONE: Final = 5.0
_LOG_EVERY: Final = 60.0
#: Between asking and being told, a place may have become free; a wait of nothing would say that it was counted.
_AT_LEAST: Final = 0.001


class RedisRateLimiter:
    """A limiter over Redis that never stands in the way: where Redis is down, this process counts for itself.

    The sum may then be higher than was meant, by the number of processes; a backend that minds answers 429, and is
    understood. Refusing instead would make of Redis one more thing that everything depends on.
    """

    def __init__(self, url: str, otherwise: RateLimiter, clock: Clock) -> None:
        try:
            storage = storage_from_string(
                url, wrap_exceptions=True, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE
            )
        except Unusable:
            raise ConfigurationError(["limits.storage: needs the extra `redis`, which is not installed"]) from None
        self._shared: Final = MovingWindowRateLimiter(storage)
        self._otherwise: Final = otherwise
        self._clock: Final = clock
        self._ask_from = -math.inf
        self._log_from = -math.inf

    def acquire(self, key: str, per_second: float) -> float:
        """Count one request and return 0, or return without counting it how many seconds to wait for a place."""
        if self._clock.monotonic() >= self._ask_from:
            try:
                return self._ask(key, per_second)
            except StorageError as error:
                self._leave_alone(error)
        return self._otherwise.acquire(key, per_second)

    def _ask(self, key: str, per_second: float) -> float:
        amount, seconds = to_window(per_second)
        item = RateLimitItemPerSecond(amount, seconds)
        if self._shared.hit(item, key):
            return 0.0
        # The library stamps requests with the machine's clock, and tells in it when the oldest leaves the window.
        return max(self._shared.get_window_stats(item, key).reset_time - time.time(), _AT_LEAST)

    def _leave_alone(self, error: StorageError) -> None:
        now = self._clock.monotonic()
        self._ask_from = now + _LEFT_ALONE
        if now >= self._log_from:
            self._log_from = now + _LOG_EVERY
            facts = {"error": type(error.storage_error).__name__}  # its text may hold the address, and a password
            _log.warning("requests are counted by each process: Redis does not answer", extra={"fields": facts})
