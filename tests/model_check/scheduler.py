"""Virtual time for whole processes: greenlets that run one at a time, and a clock that jumps to whoever is next.

A replica that is killed is never resumed: nothing of it runs any more, no `finally`, no handler, as with SIGKILL.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet

EPOCH = 1_800_000_000.0


@dataclass
class Process:
    """Something that can be killed, and all its greenlets with it."""

    name: str
    alive: bool = True
    greenlets: list[greenlet] = field(default_factory=list)  # kept: collecting one would run its handlers


class Scheduler:
    """Runs greenlets in the order of virtual time."""

    def __init__(self) -> None:
        self.now = EPOCH
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._hub = getcurrent()

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self._waiting, (time, next(self._numbers), action))

    def run(self, until: float) -> None:
        """Let time pass until then, or until nobody has anything to do."""
        self._hub = getcurrent()
        while self._waiting and self._waiting[0][0] <= until:
            self.now, _, action = heapq.heappop(self._waiting)
            action()
        self.now = max(self.now, until)

    def spawn(self, process: Process, work: Callable[[], None]) -> None:
        """Begin work in a process, now."""
        worker = greenlet(work, parent=self._hub)
        process.greenlets.append(worker)
        self.at(self.now, lambda: self._resume(process, worker))

    def pause(self, process: Process, seconds: float) -> None:
        """Let others run for so long; called from within a greenlet."""
        worker = getcurrent()
        self.at(self.now + max(seconds, 0.0), lambda: self._resume(process, worker))
        self._hub.switch()

    def park(self) -> None:
        """Let others run until somebody resumes us."""
        self._hub.switch()

    def wake(self, process: Process, worker: greenlet) -> None:
        """Resume a parked greenlet, soon."""
        self.at(self.now, lambda: self._resume(process, worker))

    @staticmethod
    def _resume(process: Process, worker: greenlet) -> None:
        if process.alive and not worker.dead:
            worker.parent = getcurrent()
            worker.switch()


class VirtualSignal:
    """Something that happens once in virtual time."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self._scheduler = scheduler
        self._process = process
        self._happened = False
        self._waiting: list[greenlet] = []

    def set(self) -> None:
        self._happened = True
        for worker in self._waiting:
            self._scheduler.wake(self._process, worker)
        self._waiting.clear()

    def wait(self, seconds: float) -> bool:
        if not self._happened:
            worker = getcurrent()
            self._waiting.append(worker)
            self._scheduler.at(self._scheduler.now + seconds, lambda: self._give_up(worker))
            self._scheduler.park()
        return self._happened

    def _give_up(self, worker: greenlet) -> None:
        if worker in self._waiting:
            self._waiting.remove(worker)
            self._scheduler.wake(self._process, worker)


@dataclass
class VirtualRuntime:
    """A process's view of time; implements Runtime."""

    scheduler: Scheduler
    process: Process

    def now(self) -> float:
        return self.scheduler.now

    def monotonic(self) -> float:
        return self.scheduler.now

    def sleep(self, seconds: float) -> None:
        self.scheduler.pause(self.process, seconds)

    def spawn(self, work: Callable[[], None]) -> None:
        self.scheduler.spawn(self.process, work)

    def event(self) -> VirtualSignal:
        return VirtualSignal(self.scheduler, self.process)
