"""The semaphore and its queue: bounded, first in first out, with threads and with greenlets."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transport.bulkhead import FairSemaphore


@given(steps=st.lists(st.booleans(), max_size=60), permits=st.integers(1, 4))
@settings(deadline=None)
def test_permits_are_counted(steps: list[bool], permits: int) -> None:
    """A call that cannot wait gets a permit exactly when one is free."""
    semaphore, acquired = FairSemaphore(permits, 5), 0
    for acquires in steps:
        if acquires:
            assert semaphore.acquire(0.0) is (acquired < permits)
            acquired = min(acquired + 1, permits)
        elif acquired:
            semaphore.release()
            acquired -= 1


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.01])
def test_a_waiter_that_times_out_leaves_the_queue(seconds: float) -> None:
    """A permit that is released afterwards is free for the next call."""
    semaphore = FairSemaphore(1, 1)
    assert semaphore.acquire(1.0)
    assert [semaphore.acquire(seconds), semaphore.acquire(seconds)] == [False, False]
    semaphore.release()
    assert semaphore.acquire(0.0)


def test_a_full_queue_refuses_at_once() -> None:
    """A call that finds the queue full does not wait; a queue of length 0 is always full."""
    semaphore = FairSemaphore(1, 0)
    assert semaphore.acquire(60.0)
    assert not semaphore.acquire(60.0)


class Waiters:
    """Threads that wait in a known order, and the order in which they got a permit."""

    def __init__(self, semaphore: FairSemaphore) -> None:
        self.semaphore = semaphore
        self.order: list[int] = []
        self.threads: list[threading.Thread] = []

    def start(self, number: int) -> None:
        def wait() -> None:
            if self.semaphore.acquire(30.0):
                self.order.append(number)
                self.semaphore.release()

        waiting = self.semaphore._waiting
        self.threads.append(threading.Thread(target=wait))
        self.threads[-1].start()
        while self.semaphore._waiting == waiting:
            time.sleep(0.001)

    def join(self) -> None:
        for thread in self.threads:
            thread.join()


def test_first_in_first_out() -> None:
    """Waiters get permits in their order of arrival."""
    semaphore = FairSemaphore(1, 20)
    semaphore.acquire(0.0)
    waiters = Waiters(semaphore)
    for number in range(20):
        waiters.start(number)
    assert not semaphore.acquire(30.0)  # the queue is full, and a new call does not overtake it
    semaphore.release()
    waiters.join()
    assert waiters.order == list(range(20))


def test_a_new_call_does_not_overtake() -> None:
    """A permit that was released but not handed over yet belongs to the waiter."""
    semaphore = FairSemaphore(1, 2)
    semaphore.acquire(0.0)
    waiters = Waiters(semaphore)
    waiters.start(1)
    semaphore._free_slots.append(None)  # the first half of release()
    assert not semaphore.acquire(0.0) or waiters.order == [1]
    waiters.join()
    assert waiters.order == [1]


def test_no_wake_up_is_lost_between_threads() -> None:
    """Forty threads acquire three permits ten thousand times: none fails, never four at once, none is lost."""
    semaphore, active, max_active, lock = FairSemaphore(3, 40), 0, 0, threading.Lock()
    failures: list[int] = []
    interval = sys.getswitchinterval()

    def work() -> None:
        nonlocal active, max_active
        for number in range(250):
            if not semaphore.acquire(60.0):
                failures.append(number)
                continue
            with lock:
                active += 1
                max_active = max(max_active, active)
            with lock:
                active -= 1
            semaphore.release()

    threads = [threading.Thread(target=work) for _ in range(40)]
    try:
        sys.setswitchinterval(1e-6)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert (failures, max_active <= 3, active) == ([], True, 0)
    assert [semaphore.acquire(0.0) for _ in range(4)] == [True, True, True, False]


class ReleasedOnCancel(FairSemaphore):
    """A semaphore whose permit is released at the moment a wait ends."""

    def _cancel_wait(self, waiter: threading.Lock, caller: str) -> bool:
        self.release()
        return super()._cancel_wait(waiter, caller)


def test_a_permit_received_at_the_timeout_is_used() -> None:
    """A permit that arrives between the timeout and the exit from the queue is acquired, and not lost."""
    semaphore = ReleasedOnCancel(1, 1)
    assert semaphore.acquire(0.0)
    assert semaphore.acquire(0.01)
    semaphore.release()
    assert semaphore.acquire(0.0)


class ReleasedBeforeWait(FairSemaphore):
    """A semaphore whose permit is released after a call found none, and before it joined the queue."""

    def _wait(self, seconds: float, caller: str) -> bool:
        self.release()
        return super()._wait(seconds, caller)


def test_a_permit_released_before_the_wait_is_acquired() -> None:
    """A waiter checks for permits once more after it has joined the queue: no other call would wake it."""
    semaphore = ReleasedBeforeWait(1, 1)
    assert semaphore.acquire(0.0)
    assert semaphore.acquire(0.0)


class InterruptedLock:
    """A lock whose second acquire() runs a callback and then raises KeyboardInterrupt."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback, self.acquired = callback, False

    def acquire(self, timeout: float = 0.0) -> None:
        if self.acquired:
            self.callback()
            raise KeyboardInterrupt
        self.acquired = True

    def release(self) -> None:
        """Do nothing: the waiter has been interrupted."""


@pytest.mark.parametrize("has_permit", [False, True])
def test_an_interrupted_waiter_loses_no_permit(monkeypatch: pytest.MonkeyPatch, has_permit: bool) -> None:
    """Without a permit it leaves the queue; with a permit that it has just received it releases it."""
    semaphore = FairSemaphore(1, 1)
    assert semaphore.acquire(0.0)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Lock", lambda: InterruptedLock(semaphore.release if has_permit else lambda: None))
        with pytest.raises(KeyboardInterrupt):
            semaphore.acquire(30.0)
    if not has_permit:
        semaphore.release()
    assert [semaphore.acquire(0.0), semaphore.acquire(0.0), semaphore._waiting] == [True, False, 0]


def test_callers_get_slots_in_turn() -> None:
    """A caller with many waiting calls delays another caller's by one place; its own calls stay in their order."""
    semaphore, order = FairSemaphore(1, 100), []
    assert semaphore.acquire(0.0)

    def work(name: str) -> None:
        assert semaphore.acquire(30.0, name[0])
        order.append(name)
        semaphore.release()

    names = ["a1", "a2", "a3", "a4", "b1", "c1", "a5"]
    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for count, thread in enumerate(threads, 1):
        thread.start()
        while semaphore._waiting < count:
            time.sleep(0.001)
    semaphore.release()
    for thread in threads:
        thread.join()
    assert order == ["a1", "b1", "c1", "a2", "a3", "a4", "a5"]


def test_a_caller_that_gives_up_leaves_the_others_in_line() -> None:
    """One of two waiting calls of a caller ends at its timeout; the other one gets the slot."""
    semaphore, served = FairSemaphore(1, 10), []
    assert semaphore.acquire(0.0)
    waiter = threading.Thread(target=lambda: served.append(semaphore.acquire(30.0, "a")))
    waiter.start()
    while not semaphore._waiting:
        time.sleep(0.001)
    assert not semaphore.acquire(0.01, "a")
    semaphore.release()
    waiter.join()
    assert (served, semaphore._waiting) == ([True], 0)
