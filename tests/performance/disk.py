"""Measures the disk: two durable writes of the size that the journal makes for each create."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_WRITE: Final = b"\1" * (5 * 4120)  # five pages with their headers, about what a claim or a settlement changes
_WRITES_PER_CREATE: Final = 2
_SLOTS: Final = 100  # writes before the file is overwritten from its start, as in SQLite's log


def write_latencies(folder: Path, *, count: int, interval: float) -> list[float]:
    """Overwrite a file twice in a row, `count` times; return the milliseconds of each pair.

    It is the minimum of every journal that writes twice per create.
    """
    latencies = []
    with _open(folder / "disk") as file:
        for number in range(count):
            time.sleep(interval)  # a create finds the disk idle
            started = time.perf_counter()
            for part in range(_WRITES_PER_CREATE):
                os.pwrite(file, _WRITE, (number * _WRITES_PER_CREATE + part) % _SLOTS * len(_WRITE))
                os.fdatasync(file)
            latencies.append((time.perf_counter() - started) * 1e3)
    return latencies


@contextmanager
def _open(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(file, _WRITE * _SLOTS, 0)
        os.fsync(file)
        yield file
    finally:
        os.close(file)
        path.unlink()
