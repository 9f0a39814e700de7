"""Runs the matrix, or the cells whose names contain all given words, and prints the results."""

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
from tests.integration.chaos.matrix import Cell, cells, run
from tests.integration.chaos.verifier import Totals

_MAX_CONCURRENT: Final = 4


def main(words: list[str]) -> int:
    """Run the cells; return 0 if every promise was kept in every cell."""
    selected = [cell for cell in cells() if all(word in str(cell).split() for word in words)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the processes of running cells are stopped
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        server = (
            stack.enter_context(database.server()) if any(cell.journal == "postgres" for cell in selected) else None
        )
        urls = [database.new_database(server) if server and cell.journal == "postgres" else None for cell in selected]
        pool = stack.enter_context(ThreadPoolExecutor(_MAX_CONCURRENT))
        results = pool.map(partial(_try, folder), range(len(selected)), selected, urls)
        _print("cell", Totals.names())
        total = Totals(runs=0)
        failed = 0
        for cell, result in zip(selected, results, strict=True):
            if isinstance(result, Totals):
                total += result
                _print(str(cell), result.row)
            else:
                failed += 1
                _print(str(cell), ("".join(traceback.format_exception(result)),))
        _print("total", total.row)
    return 0 if total.correct and not failed else 1


def _try(folder: Path, number: int, cell: Cell, url: str | None) -> Totals | Exception:
    try:
        return run(cell, folder / str(number), url)
    except Exception as error:
        return error


def _print(name: str, row: tuple[object, ...]) -> None:
    sys.stdout.write(f"{name:46}" + "".join(f"{value!s:>11}" for value in row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
