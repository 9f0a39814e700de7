"""Places and the queue before them: bounded, first come first served, under threads and under greenlets."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transport.bulkhead import FairSemaphore


@given(steps=st.lists(st.booleans(), max_size=60), places=st.integers(1, 4))
@settings(deadline=None)
def test_as_many_are_in_as_there_are_places(steps: list[bool], places: int) -> None:
    """Who cannot wait gets a place exactly when one is free."""
    slots, taken = FairSemaphore(places, 5), 0
    for takes in steps:
        if takes:
            assert slots.take(0.0) is (taken < places)
            taken = min(taken + 1, places)
        elif taken:
            slots.give()
            taken -= 1


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.01])
def test_whoever_waits_in_vain_leaves_the_queue(seconds: float) -> None:
    """A place that comes free afterwards goes to the next, not to who has gone."""
    slots = FairSemaphore(1, 1)
    assert slots.take(1.0)
    assert [slots.take(seconds), slots.take(seconds)] == [False, False]
    slots.give()
    assert slots.take(0.0)


def test_a_full_queue_refuses_at_once() -> None:
    """One more than may wait does not wait; without a queue nobody does."""
    slots = FairSemaphore(1, 0)
    assert slots.take(60.0)
    assert not slots.take(60.0)


class Line:
    """Threads that wait in a known order, and the order in which they were let in."""

    def __init__(self, slots: FairSemaphore) -> None:
        self.slots = slots
        self.order: list[int] = []
        self.threads: list[threading.Thread] = []

    def join(self, number: int) -> None:
        def wait() -> None:
            if self.slots.take(30.0):
                self.order.append(number)
                self.slots.give()

        waiting = len(self.slots._waiting)
        self.threads.append(threading.Thread(target=wait))
        self.threads[-1].start()
        while len(self.slots._waiting) == waiting:
            time.sleep(0.001)


def test_first_come_first_served() -> None:
    """Places go to those who wait in the order in which they came."""
    slots = FairSemaphore(1, 20)
    slots.take(0.0)
    line = Line(slots)
    for number in range(20):
        line.join(number)
    assert not slots.take(30.0)  # the queue is full, and a newcomer does not push in
    slots.give()
    for thread in line.threads:
        thread.join()
    assert line.order == list(range(20))


def test_a_newcomer_does_not_push_in() -> None:
    """A place that was put down a moment ago, and has not been handed on yet, belongs to who waits."""
    slots = FairSemaphore(1, 2)
    slots.take(0.0)
    line = Line(slots)
    line.join(1)
    slots._free.append(None)  # half of give()
    assert not slots.take(0.0) or line.order == [1]
    for thread in line.threads:
        thread.join()
    assert line.order == [1]


def test_no_wake_up_is_lost_between_threads() -> None:
    """Forty threads take three places ten thousand times: all get in, never four at once, and all places come back."""
    slots, inside, most, lock = FairSemaphore(3, 40), 0, 0, threading.Lock()
    failures: list[int] = []
    interval = sys.getswitchinterval()

    def work() -> None:
        nonlocal inside, most
        for number in range(250):
            if not slots.take(60.0):
                failures.append(number)
                continue
            with lock:
                inside += 1
                most = max(most, inside)
            with lock:
                inside -= 1
            slots.give()

    threads = [threading.Thread(target=work) for _ in range(40)]
    try:
        sys.setswitchinterval(1e-6)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert (failures, most <= 3, inside) == ([], True, 0)
    assert [slots.take(0.0) for _ in range(4)] == [True, True, True, False]


class Late(FairSemaphore):
    """Slots where the place comes at the very moment at which the waiting ends."""

    def _leave(self, turn: threading.Lock) -> bool:
        self.give()
        return super()._leave(turn)


def test_a_place_that_comes_at_the_last_moment_is_taken() -> None:
    """Between the end of the wait and leaving the queue the turn may come: then the place is ours, not lost."""
    slots = Late(1, 1)
    assert slots.take(0.0)
    assert slots.take(0.01)
    slots.give()
    assert slots.take(0.0)


class Unlucky(FairSemaphore):
    """Slots where a newcomer finds no place at first, and one comes free before he has lined up."""

    def _wait(self, seconds: float) -> bool:
        self.give()
        return super()._wait(seconds)


def test_a_place_that_comes_before_lining_up_is_seen() -> None:
    """Who lines up looks for places once more: nobody else will wake him."""
    slots = Unlucky(1, 1)
    assert slots.take(0.0)
    assert slots.take(0.0)


class Fatal:
    """A lock that kills who waits for it, once somebody has done something."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.meanwhile, self.taken = meanwhile, False

    def acquire(self, timeout: float = 0.0) -> None:
        if self.taken:
            self.meanwhile()
            raise KeyboardInterrupt
        self.taken = True

    def release(self) -> None:
        """Call: nobody will come."""


@pytest.mark.parametrize("called", [False, True])
def test_who_is_killed_while_waiting_leaves_no_hole(monkeypatch: pytest.MonkeyPatch, called: bool) -> None:
    """Before his turn he leaves the queue; in the moment of his turn the place goes on to the next."""
    slots = FairSemaphore(1, 1)
    assert slots.take(0.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Lock", lambda: Fatal(slots.give if called else lambda: None))
        with pytest.raises(KeyboardInterrupt):
            slots.take(30.0)
    if not called:
        slots.give()
    assert [slots.take(0.0), slots.take(0.0), len(slots._waiting)] == [True, False, 0]


@pytest.mark.loopback
def test_greenlets_wait_are_killed_and_are_all_answered() -> None:
    """Under gevent order is kept, killed ones leave no hole, a thousand calls through twenty places are answered."""
    command = [sys.executable, "-m", "tests.unit.transport.greenlets"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert told.splitlines() == [
        "order kept: True, left waiting: 0",
        "after killing 300 of 600: served 300, free 5",
        "killed when called: free 1",
        "answered 1000 of 1000, most at once 20, circuit reachable",
        "killed probe: the next call was answered 200",
    ]
