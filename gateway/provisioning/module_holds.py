"""Holds: one change at a time of each module, in all processes that share the journal.

The changes of one process wait in line for a module, and only the first of them reads the journal.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.domain.change import Change, ChangedFields
from gateway.domain.errors import JournalUnavailable, ModuleBusy, Outcome
from gateway.domain.journal import ChangeJournal
from gateway.domain.runtime import Event, Runtime

#: How often the journal is read while another process changes the module: first and longest interval; seconds.
_POLL_INTERVALS: Final = (0.02, 0.25)
#: The pauses before each attempt to record an outcome that could not be recorded at once; seconds.
_RECORD_DELAYS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(slots=True)
class ModuleHolds:
    """The holds of one process."""

    journal: ChangeJournal
    runtime: Runtime
    _lock: threading.Lock = field(default_factory=threading.Lock)
    #: By module: the change that may reach the journal, then those that wait.
    _queues: dict[str, deque[Event]] = field(default_factory=dict)

    @contextmanager
    def hold(self, change: Change, deadline: float) -> Iterator[float]:
        """Hold a change's module within the context, and yield a monotonic time before which it was not recorded.

        `end` releases it. Raises ModuleBusy at the deadline, a monotonic time, and JournalUnavailable.
        """
        with self._in_line(change.module_id, deadline):
            interval, max_interval = _POLL_INTERVALS
            began_at = self.runtime.monotonic()
            while not self._begin(replace(change, started_at=self.runtime.now())):
                remaining = deadline - self.runtime.monotonic()
                if remaining <= 0:
                    raise ModuleBusy
                self.runtime.sleep(min(interval, remaining))
                interval = min(interval * 2, max_interval)
                began_at = self.runtime.monotonic()
            yield began_at

    def end(self, change_id: str, outcome: Outcome, fields: ChangedFields | None = None) -> None:
        """Record the outcome of a change, in the background if the journal fails: the module is held until then."""
        ended_at = self.runtime.now()

        def record() -> None:
            self.journal.end_change(change_id, outcome, at=ended_at, fields=fields)

        try:
            record()
        except JournalUnavailable:
            self.runtime.spawn(lambda: self._retry(record))

    def _begin(self, change: Change) -> bool:
        """Begin a change; if the journal fails, it may be recorded all the same, and is ended in the background."""
        try:
            return self.journal.begin_change(change)
        except JournalUnavailable:
            withdraw = self.journal.end_change
            self.runtime.spawn(
                lambda: self._retry(lambda: withdraw(change.id, Outcome.NOT_APPLIED, at=change.started_at))
            )
            raise

    def _retry(self, write: Callable[[], None]) -> None:
        for delay in _RECORD_DELAYS:
            self.runtime.sleep(delay)
            with suppress(JournalUnavailable):
                write()
                break

    @contextmanager
    def _in_line(self, module_id: str, deadline: float) -> Iterator[None]:
        turn = self.runtime.event()
        with self._lock:
            queue = self._queues.setdefault(module_id, deque())
            queue.append(turn)
            is_first = queue[0] is turn
        try:
            if not is_first and not turn.wait(max(deadline - self.runtime.monotonic(), 0.0)):
                raise ModuleBusy
            yield
        finally:
            with self._lock:
                queue.remove(turn)
                if queue:
                    queue[0].set()
                else:
                    self._queues.pop(module_id, None)
