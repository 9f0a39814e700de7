"""What this disk takes for what a create cannot do without: two durable writes, of the size that the journal's have."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_WRITE: Final = b"\1" * (5 * 4120)  # five pages with their heads, about what a claim or a settlement changes
_WRITES: Final = 2
_ROUND: Final = 100  # so many writes, then from the beginning again, as in SQLite's log


def waits(folder: Path, *, count: int, every: float) -> list[float]:
    """Write over a file's old content, twice in a row, `count` times; return what each pair took in milliseconds.

    Nothing else is done: no journal can be quicker, in whatever language.
    """
    told = []
    with _file(folder / "disk") as file:
        for number in range(count):
            time.sleep(every)  # as a create finds it: at rest
            began = time.perf_counter()
            for part in range(_WRITES):
                os.pwrite(file, _WRITE, (number * _WRITES + part) % _ROUND * len(_WRITE))
                os.fdatasync(file)
            told.append((time.perf_counter() - began) * 1e3)
    return told


@contextmanager
def _file(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(file, _WRITE * _ROUND, 0)
        os.fsync(file)
        yield file
    finally:
        os.close(file)
        path.unlink()
