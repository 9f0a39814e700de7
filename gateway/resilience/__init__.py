"""Retries of reads, and rate limits."""

from __future__ import annotations

from importlib import import_module

from gateway.domain.backend import RateLimiter
from gateway.domain.runtime import Clock
from gateway.resilience.memory_rate_limiter import MovingWindowLimiter
from gateway.resilience.retry import RetryingBackend
from gateway.settings import Secret

__all__ = ["RetryingBackend", "create_rate_limiter"]


def create_rate_limiter(secret: Secret | str, clock: Clock) -> RateLimiter:
    """Return the rate limiter of a URL: for this process (memory://), or in Redis for all processes.

    It connects at its first use. Raises ConfigurationError if the Redis client is not installed.
    """
    memory_limiter = MovingWindowLimiter(clock)
    url = Secret(secret) if isinstance(secret, str) else secret
    if url.value == "memory://":
        return memory_limiter
    module = import_module("gateway.resilience.redis_rate_limiter")  # with its library, only if Redis is used
    redis_limiter: RateLimiter = module.RedisRateLimiter(url, memory_limiter, clock)
    return redis_limiter
