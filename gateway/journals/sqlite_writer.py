"""The thread that writes to the embedded journal: it waits for the disk, and only those that write wait for it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.journals.sqlite_connection import RetryingConnection

Work = Callable[[RetryingConnection], Any]


class NativeThreads:
    """Threads of the operating system, for work that blocks; gevent needs a subclass: its threads are greenlets."""

    create_queue: Callable[[], SimpleQueue[Any]] = SimpleQueue  # in which such a thread can wait
    sleep: Callable[[float], None] = staticmethod(time.sleep)  # suspends such a thread

    def start(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread that does not keep the process alive."""
        threading.Thread(target=work, daemon=True).start()

    def create_notifier(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Return a function for such a thread, which makes `callback` run where those that submit work are running."""
        return callback


NATIVE_THREADS: Final = NativeThreads()


class WriteTask:
    """Work for the writer thread, and its result; `deadline` is how long it may wait for other processes' locks."""

    __slots__ = ("deadline", "error", "finished", "is_abandoned", "is_done", "result", "shares_commit", "work")

    def __init__(self, work: Work, *, deadline: float, shares_commit: bool) -> None:
        self.work = work
        self.deadline = deadline
        self.shares_commit = shares_commit
        self.finished = threading.Event()
        self.is_abandoned = False  # its caller has given up
        self.is_done = False
        self.result: Any = None
        self.error: Exception | None = None

    def succeed(self, result: Any) -> None:
        """Store the result."""
        self.result, self.is_done = result, True

    def fail(self, error: Exception) -> None:
        """Store the error."""
        self.error, self.is_done = error, True


class WriterThread:
    """Runs tasks one after the other; those that share a commit and wait at the same time are one group.

    Most of a commit's cost is the disk's, and the same for one statement and for fifty.
    """

    def __init__(self, threads: NativeThreads, run_group: Callable[[Sequence[WriteTask]], None]) -> None:
        self._run_group = run_group
        self._lock = threading.Lock()  # under gevent the thread must not use it
        self._pending: deque[WriteTask] = deque()
        self._running: list[WriteTask] = []
        self._groups = threads.create_queue()
        self._notify = threads.create_notifier(self._finish)
        threads.start(self._work)

    def stop(self) -> None:
        """End the thread after the tasks that have begun."""
        self._groups.put(None)

    def run(self, task: WriteTask, seconds: float, *, finish_late: bool = False) -> Any:
        """Return the task's result, or raise its error; raises JournalUnavailable after `seconds`.

        A task that has not begun by then never begins, unless `finish_late`; one that has may still be committed.
        """
        with self._lock:
            self._pending.append(task)
        time.sleep(0)  # lets other greenlets add their tasks to the group
        self._start()
        if not task.finished.wait(seconds):
            if not finish_late:
                self._abandon(task)
            raise JournalUnavailable(message("journal_failed", reason="timeout"))
        if task.error is not None:
            raise task.error
        if not task.is_done:
            raise JournalUnavailable(message("journal_commit_interrupted"))
        return task.result

    def _abandon(self, task: WriteTask) -> None:
        task.is_abandoned = True
        with self._lock, suppress(ValueError):  # it is in the group that is running
            self._pending.remove(task)

    def _start(self) -> None:
        """Give the thread the next group, unless it is running one."""
        with self._lock:
            if self._running or not self._pending:
                return
            group = self._running = [self._pending.popleft()]
            while group[0].shares_commit and self._pending and self._pending[0].shares_commit:
                group.append(self._pending.popleft())
        self._groups.put(group)

    def _work(self) -> None:
        while (group := self._groups.get()) is not None:
            with suppress(Exception):  # a task without a result shows it
                self._run_group(group)
            self._notify()

    def _finish(self) -> None:
        group, self._running = self._running, []
        self._start()
        for task in group:
            task.finished.set()
