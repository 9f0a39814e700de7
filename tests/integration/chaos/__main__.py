"""Plays the whole matrix, or the cells whose names hold all given words, and prints what came of it."""

from __future__ import annotations

import signal
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from tests.integration.chaos import database
from tests.integration.chaos.judge import Figures
from tests.integration.chaos.matrix import Cell, cells, run

_AT_ONCE: Final = 4


def main(words: list[str]) -> int:
    """Return 0 where every promise was kept in every cell."""
    chosen = [cell for cell in cells() if all(word in str(cell).split() for word in words)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what runs is ended, too
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        server = stack.enter_context(database.server()) if any(c.journal == "postgres" for c in chosen) else None
        urls = [database.new_database(server) if server and c.journal == "postgres" else None for c in chosen]
        pool = stack.enter_context(ThreadPoolExecutor(_AT_ONCE))
        outcomes = pool.map(partial(_try, folder), range(len(chosen)), chosen, urls)
        _print("cell", Figures.names())
        total = Figures(runs=0)
        failed = 0
        for cell, outcome in zip(chosen, outcomes, strict=True):
            if isinstance(outcome, Figures):
                total += outcome
                _print(str(cell), outcome.row)
            else:
                failed += 1
                _print(str(cell), ("".join(traceback.format_exception(outcome)),))
        _print("total", total.row)
    return 0 if total.sound and not failed else 1


def _try(folder: Path, number: int, cell: Cell, url: str | None) -> Figures | Exception:
    try:
        return run(cell, folder / str(number), url)
    except Exception as error:
        return error


def _print(name: str, row: tuple[object, ...]) -> None:
    sys.stdout.write(f"{name:46}" + "".join(f"{value!s:>11}" for value in row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
