"""Sends a signal to a worker at a given point: an order is a file, and the worker that renames it first obeys it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Names the folder of the orders to the workers.
VARIABLE: Final = "CHAOS_ORDERS"


@dataclass(frozen=True)
class KillOrders:
    """The orders of one testbed; a rename is atomic, so that each order is executed once."""

    folder: Path

    def add(self, signal: int, point: str, name: str) -> None:
        """Give an order to the first worker that reaches this point with this name; signal 0 only records it."""
        (self.folder / f"{point}@{name}").write_text(str(int(signal)))

    def execute(self, point: str, name: str) -> None:
        """Send this process the signal of the order, if there is one."""
        executed = self.folder / f"{point}@{name}@{os.getpid()}"
        with suppress(FileNotFoundError):
            (self.folder / f"{point}@{name}").rename(executed)
            os.kill(os.getpid(), int(executed.read_text()))

    def executed_by(self, point: str, name: str) -> list[int]:
        """Return the processes that have executed an order."""
        return [int(path.name.rpartition("@")[2]) for path in self.folder.glob(f"{point}@{name}@*")]
