"""Threads that are used again; under gevent's patches these are greenlets.

Every create is sent in a thread of its own. To begin a greenlet costs it 30 µs under load, and a stack for Python's
frames that is mapped and given back each time; one that waits is handed its next work through a lock.
"""

from __future__ import annotations

import _thread
import os
from collections import deque
from collections.abc import Callable
from typing import Final

_Work = Callable[[], None]
#: So many stay when there is nothing to do.
_IDLE: Final = 64


class Crew:
    """Does work beside its caller's own; no thread keeps the process from ending."""

    def __init__(self) -> None:
        self._idle: deque[_Hand] = deque()
        os.register_at_fork(after_in_child=self._idle.clear)  # a child has none of its parent's threads

    def take(self, work: _Work) -> None:
        """Begin work at once, however much is being done; what it raises goes where a thread's exceptions go."""
        try:
            hand = self._idle.pop()
        except IndexError:
            _thread.start_new_thread(self._labour, (_Hand(work),))
            return
        hand.work = work
        hand.ready.release()

    def _labour(self, hand: _Hand) -> None:
        while True:
            hand.work()
            if len(self._idle) >= _IDLE:
                return
            hand.work = _nothing  # what was done holds a request, and its module
            self._idle.append(hand)
            hand.ready.acquire()


class _Hand:
    """One thread: what it does, or waits to be given."""

    __slots__ = ("ready", "work")

    def __init__(self, work: _Work) -> None:
        self.work = work
        self.ready = _thread.allocate_lock()
        self.ready.acquire()


def _nothing() -> None:
    """Do nothing."""
