"""Where a worker can be made to die: an order is a file, and the process that renames it first dies by it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

#: Where the folder of the orders is told to the workers.
VARIABLE: Final = "CHAOS_ORDERS"
#: A worker dies of these by itself, wherever it is in the create of a given name.
INSIDE: Final = ("before-claim", "after-claim", "after-reply-read", "after-result-stored", "mid-reconcile")
#: Of these by another's hand, while the twin holds its request.
OUTSIDE: Final = ("after-send", "after-send-lost", "after-commit", "during-drain")
POINTS: Final = (*INSIDE, *OUTSIDE)

_SENDING: Final = "sending"


class Orders:
    """The orders of one stand; renaming is atomic, so that each is carried out once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def give(self, point: str, name: str) -> None:
        """Let the first worker that comes to this point with this name die there."""
        (self._folder / f"{point}@{name}").touch()

    def watch(self, name: str) -> None:
        """Let the worker that sends this name say who it is."""
        self.give(_SENDING, name)

    def obey(self, point: str, name: str) -> None:
        """Die, where it is ordered."""
        if self._take(point, name):
            os.kill(os.getpid(), signal.SIGKILL)

    def show(self, name: str) -> None:
        """Say who sends, where it was asked for."""
        self._take(_SENDING, name)

    def sender(self, name: str) -> int | None:
        """Return the process that sends this name, None as long as nobody does."""
        taken = self._taken(_SENDING, name)
        return taken[0] if taken else None

    def struck(self, point: str, name: str) -> int:
        """Count how often the order was carried out."""
        return len(self._taken(point, name))

    def _take(self, point: str, name: str) -> bool:
        order = self._folder / f"{point}@{name}"
        try:
            order.rename(self._folder / f"taken@{point}@{name}@{os.getpid()}")
        except FileNotFoundError:
            return False
        return True

    def _taken(self, point: str, name: str) -> list[int]:
        return [int(path.name.rpartition("@")[2]) for path in self._folder.glob(f"taken@{point}@{name}@*")]
