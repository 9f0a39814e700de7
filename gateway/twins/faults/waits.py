"""Time that passes in a twin: waits that can be cut short, and writes that come later than their answer."""

import threading
from collections.abc import Callable
from typing import Any, Final

# Writes that may wait at one time; beyond it a twin would hold threads without end.
MOST_LATE: Final = 256


class Interrupted(ConnectionAbortedError):
    """The wait was cut short: whoever waited hangs up and does nothing more."""


class Waits:
    """Waits in seconds of real time, all of them cut short by `interrupt`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._era = 0

    def wait(self, seconds: float) -> None:
        """Sleep; raises Interrupted."""
        with self._changed:
            era = self._era
            if self._changed.wait_for(lambda: self._era != era, timeout=seconds):
                raise Interrupted

    def interrupt(self) -> None:
        """Wake whoever waits at this moment."""
        with self._changed:
            self._era += 1
            self._changed.notify_all()


class LateWrites:
    """Writes that wait for their time, one background thread each; `refusal` is what a write's rules raise."""

    def __init__(self, refusal: type[Exception]) -> None:
        self._refusal = refusal
        self._lock = threading.Lock()
        self._waiting: dict[int, threading.Timer] = {}
        self._number = 0
        self._performed = 0
        self._refused: list[str] = []

    def schedule(self, seconds: float, perform: Callable[[], object]) -> None:
        """Let `perform` happen after `seconds`; where too many wait already it is refused."""
        with self._lock:
            if len(self._waiting) >= MOST_LATE:
                self._refused.append(f"{MOST_LATE} late writes are waiting already")
                return
            self._number += 1
            timer = threading.Timer(seconds, self._due, (self._number, perform))
            timer.daemon = True
            self._waiting[self._number] = timer
            timer.start()

    def cancel(self) -> None:
        """Forget what waits and what was; when this returns, no late write is under way or to come."""
        with self._lock:
            for timer in self._waiting.values():
                timer.cancel()
            self._waiting.clear()
            self._refused.clear()
            self._performed = 0

    def told(self) -> dict[str, Any]:
        """Tell how many wait, how many were performed, and why the others were refused when their time came."""
        with self._lock:
            return {"waiting": len(self._waiting), "performed": self._performed, "refused": list(self._refused)}

    def _due(self, number: int, perform: Callable[[], object]) -> None:
        with self._lock:  # held throughout: a cancel waits for a write under way
            if self._waiting.pop(number, None) is None:
                return
            try:
                perform()
                self._performed += 1
            except self._refusal as refusal:
                self._refused.append(" ".join(map(str, refusal.args)))
