"""Shows rows as they were before the writes that readers are not to see yet."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True)
class _Hidden(Generic[Key, Value]):
    until: float
    before: Mapping[Key, Value | None]


class ReadLag(Generic[Key, Value]):
    """Like a replica that follows late; whoever holds the rows calls it under his own lock."""

    def __init__(self) -> None:
        self._hidden: list[_Hidden[Key, Value]] = []

    def hide(self, seconds: float, before: Mapping[Key, Value | None]) -> None:
        """Show for `seconds` what was there before a write; None stands for nothing."""
        self._hidden.append(_Hidden(time.monotonic() + seconds, before))

    def seen(self, rows: dict[Key, Value]) -> dict[Key, Value]:
        """Return what readers see: the rows themselves where nothing is hidden."""
        now = time.monotonic()
        self._hidden = [each for each in self._hidden if each.until > now]
        if not self._hidden:
            return rows
        shown = dict(rows)
        for hidden in reversed(self._hidden):
            for key, value in hidden.before.items():
                if value is None:
                    shown.pop(key, None)
                else:
                    shown[key] = value
        return shown
