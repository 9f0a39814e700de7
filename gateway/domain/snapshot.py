"""Reads that several calls share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any


class Snapshots:
    """What was read once for all items of a batch, such as the list of a scope."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._values: dict[Hashable, Any] = {}

    def get(self, key: Hashable, read: Callable[[], Any]) -> Any:
        """Return the result of `read`, which is called once for each key; others wait for it."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._values:
                self._values[key] = read()
            return self._values[key]

    def clear(self) -> None:
        """Forget everything, so that the next call reads again."""
        self._values.clear()
