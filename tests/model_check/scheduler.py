"""Processes on virtual time: greenlets that run one at a time, and a clock that jumps to the next event.

A process that was killed is never resumed: no `finally` and no handler of it runs, as after SIGKILL. A frozen process
is resumed later, at the point where it was, as after SIGSTOP and SIGCONT.
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
    """A process that can be killed or frozen together with all of its greenlets, and its clocks."""

    name: str
    alive: bool = True
    frozen_until: float = 0.0
    wall_offset: float = 0.0  # seconds by which its wall clock is ahead; changes when the clock is stepped
    monotonic_start: float = 0.0  # what its monotonic clock shows at EPOCH
    greenlets: list[greenlet] = field(default_factory=list)  # referenced, because collecting one would run its handlers


class Scheduler:
    """Runs greenlets in the order of virtual time."""

    def __init__(self) -> None:
        self.now = EPOCH
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = itertools.count()
        self._hub = getcurrent()

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Schedule an action."""
        heapq.heappush(self._events, (time, next(self._sequence), action))

    def run(self, end: float) -> None:
        """Run the scheduled actions up to a time, then advance the clock to it."""
        self._hub = getcurrent()
        while self._events and self._events[0][0] <= end:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = max(self.now, end)

    def spawn(self, process: Process, work: Callable[[], None]) -> None:
        """Start work in a process at the current time."""
        worker = greenlet(work, parent=self._hub)
        process.greenlets.append(worker)
        self.at(self.now, lambda: self._resume(process, worker))

    def pause(self, process: Process, seconds: float) -> None:
        """Suspend the current greenlet for some seconds."""
        worker = getcurrent()
        self.at(self.now + max(seconds, 0.0), lambda: self._resume(process, worker))
        self._hub.switch()

    def park(self) -> None:
        """Suspend the current greenlet until `wake`."""
        self._hub.switch()

    def wake(self, process: Process, worker: greenlet) -> None:
        """Schedule the resumption of a parked greenlet."""
        self.at(self.now, lambda: self._resume(process, worker))

    def _resume(self, process: Process, worker: greenlet) -> None:
        if not process.alive or worker.dead:
            return
        if self.now < process.frozen_until:
            self.at(process.frozen_until, lambda: self._resume(process, worker))
            return
        worker.parent = getcurrent()
        worker.switch()


class VirtualEvent:
    """An event on virtual time; implements Event."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self._scheduler = scheduler
        self._process = process
        self._is_set = False
        self._waiters: list[greenlet] = []

    def set(self) -> None:
        self._is_set = True
        for worker in self._waiters:
            self._scheduler.wake(self._process, worker)
        self._waiters.clear()

    def wait(self, seconds: float) -> bool:
        if not self._is_set:
            worker = getcurrent()
            self._waiters.append(worker)
            self._scheduler.at(self._scheduler.now + seconds, lambda: self._time_out(worker))
            self._scheduler.park()
        return self._is_set

    def _time_out(self, worker: greenlet) -> None:
        if worker in self._waiters:
            self._waiters.remove(worker)
            self._scheduler.wake(self._process, worker)


@dataclass
class VirtualRuntime:
    """The time and concurrency of one process; implements Runtime."""

    scheduler: Scheduler
    process: Process

    def now(self) -> float:
        return self.scheduler.now + self.process.wall_offset

    def monotonic(self) -> float:
        return self.scheduler.now - EPOCH + self.process.monotonic_start

    def sleep(self, seconds: float) -> None:
        self.scheduler.pause(self.process, seconds)

    def spawn(self, work: Callable[[], None]) -> None:
        self.scheduler.spawn(self.process, work)

    def event(self) -> VirtualEvent:
        return VirtualEvent(self.scheduler, self.process)
