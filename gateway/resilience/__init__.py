"""What keeps backends from harm and callers from their hiccups: patience with reads, and the counting of requests."""

from __future__ import annotations

from importlib import import_module

from gateway.domain.backend import RateLimiter
from gateway.domain.runtime import Clock
from gateway.resilience.memory_rate_limiter import MovingWindowLimiter
from gateway.resilience.retry import RetryingBackend

__all__ = ["RetryingBackend", "create_rate_limiter"]


def create_rate_limiter(url: str, clock: Clock) -> RateLimiter:
    """Return who counts requests a second: in this process (memory://), or in a Redis for all of them.

    Nothing is connected yet. Raises ConfigurationError where the Redis client is not installed.
    """
    here = MovingWindowLimiter(clock)
    if url == "memory://":
        return here
    shared: RateLimiter = import_module("gateway.resilience.redis_rate_limiter").RedisRateLimiter(url, here, clock)
    return shared
