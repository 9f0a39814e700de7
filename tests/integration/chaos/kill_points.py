"""Kills or freezes a worker at a given point: an order is a file, and the process that renames it first obeys it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

#: Names the folder of the orders to the workers.
VARIABLE: Final = "CHAOS_ORDERS"
#: Points inside a worker, which kills itself during the create of a given name.
INSIDE: Final = ("before-claim", "after-claim", "after-reply-read", "after-result-stored", "mid-reconcile")
#: Points outside: the test kills the worker while the twin holds its request.
OUTSIDE: Final = ("after-send", "after-send-lost", "after-commit", "during-drain")
POINTS: Final = (*INSIDE, *OUTSIDE)

_SENDING: Final = "sending"
_FREEZE: Final = "freeze-"


class KillOrders:
    """The orders of one testbed; a rename is atomic, so that each order is executed once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, point: str, name: str) -> None:
        """Kill the first worker that reaches this point with this name."""
        (self._folder / f"{point}@{name}").touch()

    def watch_sender(self, name: str) -> None:
        """Have the worker that sends this name record its process id."""
        self.add(_SENDING, name)

    def freeze(self, point: str, name: str) -> None:
        """Freeze the first worker that reaches this point with this name."""
        self.add(f"{_FREEZE}{point}", name)

    def thaw(self, point: str, name: str) -> None:
        """Continue the workers that are frozen at this point."""
        for pid in self._executed_by(f"{_FREEZE}{point}", name):
            os.kill(pid, signal.SIGCONT)

    def execute(self, point: str, name: str) -> None:
        """Kill or freeze this process if there is an order."""
        if self._claim(point, name):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._claim(f"{_FREEZE}{point}", name):
            os.kill(os.getpid(), signal.SIGSTOP)

    def record_sender(self, name: str) -> None:
        """Record this process as the sender of a watched name."""
        self._claim(_SENDING, name)

    def sender(self, name: str) -> int | None:
        """Return the process that sends this name, or None."""
        pids = self._executed_by(_SENDING, name)
        return pids[0] if pids else None

    def executed(self, point: str, name: str) -> int:
        """Return how often an order was executed."""
        return len(self._executed_by(point, name)) + len(self._executed_by(f"{_FREEZE}{point}", name))

    def _claim(self, point: str, name: str) -> bool:
        order = self._folder / f"{point}@{name}"
        try:
            order.rename(self._folder / f"executed@{point}@{name}@{os.getpid()}")
        except FileNotFoundError:
            return False
        return True

    def _executed_by(self, point: str, name: str) -> list[int]:
        return [int(path.name.rpartition("@")[2]) for path in self._folder.glob(f"executed@{point}@{name}@*")]
