"""How many calls may be on the way to a backend at once, and who is next when one ends."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final


class FairSemaphore:
    """So many places, and a queue of bounded length before them: first come, first served.

    Works for threads and, under gevent's patches, for greenlets, also for one that is killed while it waits. While
    there are places and nobody waits, no lock is taken: list.pop and list.append are atomic. Whoever gives a place
    back puts it down first and looks for waiters afterwards; whoever wants to wait lines up first and looks for
    places afterwards. So one of the two always sees the other, and no wake-up is lost.
    """

    def __init__(self, places: int, queued: int) -> None:
        self._free: Final[list[None]] = [None] * places
        self._queued: Final = queued
        self._lock: Final = threading.Lock()  # held for a few steps that wait for nothing
        self._waiting: Final[OrderedDict[threading.Lock, None]] = OrderedDict()  # each lock opens when its turn comes

    def take(self, seconds: float) -> bool:
        """Take a place, or wait so long for one; tell whether there is one. Whoever has taken gives back."""
        if not self._waiting:
            try:
                self._free.pop()
            except IndexError:
                pass
            else:
                return True
        return self._wait(seconds)

    def give(self) -> None:
        """Give a place back, to whoever has waited longest."""
        self._free.append(None)
        if self._waiting:
            with self._lock:
                self._match()

    def _wait(self, seconds: float) -> bool:
        turn = threading.Lock()
        turn.acquire()
        with self._lock:
            if len(self._waiting) >= self._queued:
                return False
            self._waiting[turn] = None
            self._match()
        try:
            called = turn.acquire(timeout=max(seconds, 0.0))
        except BaseException:  # killed while it waited: nobody will use what it was given, or would have been
            if not self._leave(turn):
                self.give()
            raise
        return called or not self._leave(turn)

    def _leave(self, turn: threading.Lock) -> bool:
        """Leave the queue; False: the turn has come meanwhile, and the place is ours."""
        with self._lock:
            if turn not in self._waiting:
                return False
            del self._waiting[turn]
            return True

    def _match(self) -> None:
        """Let those who wait in, in their order, as long as there are places."""
        while self._waiting:
            try:
                self._free.pop()
            except IndexError:
                return
            turn, _ = self._waiting.popitem(last=False)
            turn.release()
