"""Limits the number of concurrent calls to a backend; the callers that wait get the slots in turn."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Final


class FairSemaphore:
    """A semaphore with a number of slots and a queue of bounded length for each caller.

    The callers get slots in turn, and of one caller the call that has waited longest: the many calls of a batch delay
    another caller's by one place.

    Works for threads and, under gevent's patches, for greenlets, including one that is killed while it waits. While
    slots are free and no call waits, no lock is taken: list.pop and list.append are atomic. `release` adds the slot
    before it checks for waiters, and a waiter joins the queue before it checks for slots, so at least one of the two
    sees the other, and no wake-up is lost.
    """

    def __init__(self, slots: int, max_waiting: int) -> None:
        self._free_slots: Final[list[None]] = [None] * slots
        self._max_waiting: Final = max_waiting
        self._lock: Final = threading.Lock()  # never held while waiting
        # By caller, the next one first: one locked lock for each waiting call, the oldest first. To release the lock is
        # to give the call a slot.
        self._waiters: Final[OrderedDict[str, deque[threading.Lock]]] = OrderedDict()
        self._waiting = 0

    def acquire(self, seconds: float, caller: str = "") -> bool:
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
        return self._wait(seconds, caller)

    def release(self) -> None:
        """Give a slot back; if calls wait, pass it on."""
        self._free_slots.append(None)
        if self._waiters:  # read without the lock: a call that starts to wait now takes a free slot itself
            with self._lock:
                self._hand_out_slots()

    def _wait(self, seconds: float, caller: str) -> bool:
        """Join the queue, and return whether a slot was received within `seconds`."""
        waiter = threading.Lock()
        waiter.acquire()
        with self._lock:
            if self._waiting >= self._max_waiting:
                return False
            self._waiting += 1
            self._waiters.setdefault(caller, deque()).append(waiter)
            self._hand_out_slots()  # a slot may have been released before this call joined the queue
        try:
            acquired = waiter.acquire(timeout=max(seconds, 0.0))
        except BaseException:  # killed while it waited: a slot that it has received is not needed
            if not self._cancel_wait(waiter, caller):
                self.release()
            raise
        return acquired or not self._cancel_wait(waiter, caller)  # the slot may have arrived after the timeout

    def _cancel_wait(self, waiter: threading.Lock, caller: str) -> bool:
        """Remove a waiter from its queue; return False if it has already received a slot."""
        with self._lock:
            queue = self._waiters.get(caller, deque())
            if waiter not in queue:
                return False
            queue.remove(waiter)
            self._waiting -= 1
            if not queue:
                del self._waiters[caller]
            return True

    def _hand_out_slots(self) -> None:
        """Give the free slots to the callers in turn; the lock is held."""
        while self._waiters:
            try:
                self._free_slots.pop()
            except IndexError:
                return
            caller, queue = self._waiters.popitem(last=False)
            self._waiting -= 1
            queue.popleft().release()
            if queue:
                self._waiters[caller] = queue  # behind all others
