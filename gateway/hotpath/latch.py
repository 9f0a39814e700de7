"""A threading.Event that is set once: one lock instead of four objects, which a create would make and wait on."""

from __future__ import annotations

import _thread


class Latch:
    """Something that happens once, and that others wait for; implements Signal."""

    def __init__(self) -> None:
        self._shut = _thread.allocate_lock()
        self._shut.acquire()

    def set(self) -> None:
        """Let everybody through, now and later; to be called once."""
        self._shut.release()

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, or so many seconds; whoever comes through lets the next one through."""
        through = self._shut.acquire(timeout=min(seconds, _thread.TIMEOUT_MAX))
        if through:
            self._shut.release()
        return through
