"""A latch keeps everybody until it is set, and nobody from then on."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Final

from gateway.hotpath.latch import Latch

_SECONDS: Final = 30.0


def test_who_comes_before() -> None:
    """All that wait come through, each of them, once it is set; until then none does."""
    latch, through = Latch(), SimpleQueue[bool]()
    waiting = [threading.Thread(target=lambda: through.put(latch.wait(_SECONDS))) for _ in range(20)]
    for each in waiting:
        each.start()
    assert through.empty()
    latch.set()
    for each in waiting:
        each.join(_SECONDS)
    assert [through.get_nowait() for _ in waiting] == [True] * 20


def test_who_comes_after() -> None:
    """Whoever comes later does not wait at all, however often."""
    latch = Latch()
    latch.set()
    assert [latch.wait(0.0) for _ in range(3)] == [True] * 3


def test_who_waits_too_long() -> None:
    """It says that it has not happened, and may be asked again."""
    latch = Latch()
    assert [latch.wait(0.0), latch.wait(0.01)] == [False, False]
    latch.set()
    assert latch.wait(1e12)  # longer than any clock counts
