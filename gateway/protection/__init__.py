"""What keeps backends from harm and callers from their hiccups: patience with reads, and the counting of requests."""

from __future__ import annotations

from importlib import import_module

from gateway.domain.ports import Clock, Limiter
from gateway.protection.patience import Patient
from gateway.protection.windows import Windows

__all__ = ["Patient", "open_limiter"]


def open_limiter(url: str, clock: Clock) -> Limiter:
    """Return who counts requests a second: in this process (memory://), or in a Redis for all of them.

    Nothing is connected yet. Raises ConfigurationError where the Redis client is not installed.
    """
    here = Windows(clock)
    if url == "memory://":
        return here
    shared: Limiter = import_module("gateway.protection.limiter").Shared(url, here, clock)
    return shared
