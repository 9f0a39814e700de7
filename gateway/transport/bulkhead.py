"""Limits the number of concurrent calls to a backend; waiting calls get a slot in their order of arrival."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final


class FairSemaphore:
    """A semaphore with a number of slots and a first-in-first-out queue of bounded length.

    Works for threads and, under gevent's patches, for greenlets, including one that is killed while it waits. While
    slots are free and no call waits, no lock is taken: list.pop and list.append are atomic. `release` adds the slot
    before it checks for waiters, and a waiter joins the queue before it checks for slots, so at least one of the two
    sees the other, and no wake-up is lost.
    """

    def __init__(self, slots: int, max_waiting: int) -> None:
        self._free_slots: Final[list[None]] = [None] * slots
        self._max_waiting: Final = max_waiting
        self._lock: Final = threading.Lock()  # never held while waiting
        # One locked lock for each waiting call, the oldest first; to release the lock is to give the call a slot.
        self._waiters: Final[OrderedDict[threading.Lock, None]] = OrderedDict()

    def acquire(self, seconds: float) -> bool:
        """Return whether a slot was acquired within `seconds`; the caller must release it.

        Returns False at once if the queue is full.
        """
        if not self._waiters:  # else the waiting calls come first
            try:
                self._free_slots.pop()
            except IndexError:
                pass
            else:
                return True
        return self._wait(seconds)

    def release(self) -> None:
        """Give a slot back; if calls wait, pass it to the one that has waited longest."""
        self._free_slots.append(None)
        if self._waiters:  # read without the lock: a call that starts to wait now takes a free slot itself
            with self._lock:
                self._hand_out_slots()

    def _wait(self, seconds: float) -> bool:
        """Join the queue, and return whether a slot was received within `seconds`."""
        waiter = threading.Lock()
        waiter.acquire()
        with self._lock:
            if len(self._waiters) >= self._max_waiting:
                return False
            self._waiters[waiter] = None
            self._hand_out_slots()  # a slot may have been released before this call joined the queue
        try:
            acquired = waiter.acquire(timeout=max(seconds, 0.0))
        except BaseException:  # killed while it waited: a slot that it has received is not needed
            if not self._cancel_wait(waiter):
                self.release()
            raise
        return acquired or not self._cancel_wait(waiter)  # the slot may have arrived after the timeout

    def _cancel_wait(self, waiter: threading.Lock) -> bool:
        """Remove a waiter from the queue; return False if it has already received a slot."""
        with self._lock:
            if waiter not in self._waiters:
                return False
            del self._waiters[waiter]
            return True

    def _hand_out_slots(self) -> None:
        """Give the free slots to the waiters, in their order; the caller holds the lock."""
        while self._waiters:
            try:
                self._free_slots.pop()
            except IndexError:
                return
            waiter, _ = self._waiters.popitem(last=False)
            waiter.release()
