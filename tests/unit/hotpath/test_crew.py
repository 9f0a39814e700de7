"""Work that is given to a crew is begun at once, by whoever is free."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

import pytest

from gateway.hotpath import crew as crews
from gateway.hotpath.crew import Crew

_SECONDS: Final = 30.0


@pytest.fixture
def crew() -> Crew:
    """A crew with nobody in it yet."""
    return Crew()


def _idle(crew: Crew, count: int) -> bool:
    """Wait until so many have nothing to do."""
    pause = threading.Event()
    return any(len(crew._idle) == count or pause.wait(0.01) for _ in range(int(_SECONDS * 100)))


def _do(crew: Crew, work: Callable[[], Any]) -> Any:
    """Have something done, and return what came of it."""
    done: SimpleQueue[Any] = SimpleQueue()
    crew.take(lambda: done.put(work()))
    return done.get(timeout=_SECONDS)


def test_threads_are_used_again(crew: Crew) -> None:
    """Works that follow one another are all done by one thread, which is not the caller's."""
    seen = set()
    for _ in range(20):
        seen.add(_do(crew, threading.get_ident))
        assert _idle(crew, 1)
    assert len(seen) == 1
    assert threading.get_ident() not in seen


def test_nobody_waits_for_another(crew: Crew) -> None:
    """A hundred works that wait for each other are all begun, whether or not threads had been idle before."""
    assert _do(crew, lambda: 1) == 1
    assert _idle(crew, 1)
    together = threading.Barrier(101)

    def wait() -> None:
        together.wait(_SECONDS)

    for _ in range(100):
        crew.take(wait)
    together.wait(_SECONDS)
    assert _idle(crew, crews._IDLE)


def test_each_work_is_done_once(crew: Crew) -> None:
    """Whatever is given from many threads at a time is done, and done once."""
    done: SimpleQueue[int] = SimpleQueue()

    def give(start: int) -> None:
        for number in range(start, start + 200):
            crew.take(lambda number=number: done.put(number))  # type: ignore[misc] # mypy sees no type for a default

    givers = [threading.Thread(target=give, args=(start,)) for start in range(0, 1000, 200)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()
    assert sorted(done.get(timeout=_SECONDS) for _ in range(1000)) == list(range(1000))
    assert _idle(crew, len(crew._idle))
    assert done.empty()


def test_an_exception_is_told_and_costs_nobody_else(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """What work raises is told as a thread's exceptions are, and the next work is done all the same."""
    told: SimpleQueue[Any] = SimpleQueue()
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.put(what.exc_type))

    def fail() -> None:
        raise ZeroDivisionError

    crew.take(fail)
    assert told.get(timeout=_SECONDS) is ZeroDivisionError
    assert _do(crew, lambda: 2) == 2


def test_the_whole_life_of_a_thread(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does what it was begun for, waits, does what it is given, and goes where enough others wait."""
    done: SimpleQueue[int] = SimpleQueue()
    hand = crews._Hand(lambda: done.put(1))
    life = threading.Thread(target=crew._labour, args=(hand,))
    life.start()
    assert _idle(crew, 1)
    monkeypatch.setattr(crews, "_IDLE", 0)
    crew.take(lambda: done.put(2))
    life.join(_SECONDS)
    assert (done.get(), done.get(), life.is_alive(), len(crew._idle)) == (1, 2, False, 0)


def test_nothing_is_kept_of_what_was_done(crew: Crew) -> None:
    """An idle thread holds no reference to its last work."""

    class Work:
        def __call__(self) -> None:
            """Do nothing."""

    work = Work()
    crew.take(work)
    assert _idle(crew, 1)
    assert sys.getrefcount(work) == 2  # ours and the argument's


def test_a_fork_has_its_own_threads(crew: Crew) -> None:
    """A child process does not give work to the threads of its parent."""
    assert _do(crew, lambda: 1) == 1
    assert _idle(crew, 1)
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if _do(crew, lambda: 2) == 2 else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
