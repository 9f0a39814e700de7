"""Limits the number of concurrent calls to a backend; waiting calls continue in their order of arrival."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final


class FairSemaphore:
    """A semaphore with a first-in-first-out queue of bounded length.

    Works for threads and, under gevent's patches, for greenlets, including one that is killed while it waits. While
    permits are free and nothing waits, no lock is taken: list.pop and list.append are atomic. `release` adds the
    permit before it checks for waiters, and a waiter joins the queue before it checks for permits, so one of the two
    always sees the other, and no wake-up is lost.
    """

    def __init__(self, permits: int, max_waiting: int) -> None:
        self._free: Final[list[None]] = [None] * permits
        self._max_waiting: Final = max_waiting
        self._lock: Final = threading.Lock()  # never held while waiting
        self._waiters: Final[OrderedDict[threading.Lock, None]] = OrderedDict()  # each lock is released on its turn

    def acquire(self, seconds: float) -> bool:
        """Return whether a permit was acquired within `seconds`; the caller must release it."""
        if not self._waiters:
            try:
                self._free.pop()
            except IndexError:
                pass
            else:
                return True
        return self._wait(seconds)

    def release(self) -> None:
        """Give a permit back, and wake the call that has waited longest."""
        self._free.append(None)
        if self._waiters:
            with self._lock:
                self._wake_waiters()

    def _wait(self, seconds: float) -> bool:
        waiter = threading.Lock()
        waiter.acquire()
        with self._lock:
            if len(self._waiters) >= self._max_waiting:
                return False
            self._waiters[waiter] = None
            self._wake_waiters()
        try:
            acquired = waiter.acquire(timeout=max(seconds, 0.0))
        except BaseException:  # killed while it waited: it will not use a permit that it has received
            if not self._cancel_wait(waiter):
                self.release()
            raise
        return acquired or not self._cancel_wait(waiter)

    def _cancel_wait(self, waiter: threading.Lock) -> bool:
        """Leave the queue; return False if the waiter has received a permit in the meantime."""
        with self._lock:
            if waiter not in self._waiters:
                return False
            del self._waiters[waiter]
            return True

    def _wake_waiters(self) -> None:
        """Give the free permits to the waiters, in their order."""
        while self._waiters:
            try:
                self._free.pop()
            except IndexError:
                return
            waiter, _ = self._waiters.popitem(last=False)
            waiter.release()
