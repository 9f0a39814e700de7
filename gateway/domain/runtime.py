"""Ports for time and concurrency: a clock, events and background work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """A source of time. Tests replace it with a virtual clock."""

    def now(self) -> float:
        """Return the wall-clock time in seconds since the epoch (UTC), for stored timestamps."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps, for deadlines and durations."""
        ...

    def sleep(self, seconds: float) -> None:
        """Suspend the calling thread or greenlet."""
        ...


class Event(Protocol):
    """A flag that is set once; other threads or greenlets wait for it."""

    def set(self) -> None:
        """Set the flag and wake every waiter."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; return whether the flag is set."""
        ...


class Runtime(Clock, Protocol):
    """A clock that also starts background work: threads, greenlets, or a simulation of them."""

    def spawn(self, work: Callable[[], None]) -> None:
        """Run `work` in the background; it may outlive the request that started it."""
        ...

    def event(self) -> Event:
        """Create an event."""
        ...
