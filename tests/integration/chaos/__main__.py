"""Runs the matrix, or the cells whose names contain all given words, and prints the results."""

from __future__ import annotations

import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from tests.integration.chaos import database
from tests.integration.chaos.matrix import COLUMNS, VIOLATIONS, Cell, cells, run


def main(words: list[str]) -> int:
    """Run the cells; return 0 if every promise was kept in every cell."""
    selected = [cell for cell in cells() if all(word in str(cell).split() for word in words)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the processes of running cells are stopped
    needs_server = any(cell.journal == "postgres" for cell in selected)
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        database.server() if needs_server else nullcontext() as server,
        ThreadPoolExecutor(4) as pool,
    ):
        urls = [database.new_database(server) if server and cell.journal == "postgres" else None for cell in selected]
        folders = [Path(folder, str(number)) for number in range(len(selected))]
        _print("cell", {column: column for column in COLUMNS})
        total: Counter[str] = Counter()
        for cell, result in zip(selected, pool.map(_run, selected, folders, urls), strict=True):
            total += result
            _print(str(cell), result)
    _print("total", total)
    return int(any(total[column] for column in VIOLATIONS))


def _run(cell: Cell, folder: Path, url: str | None) -> Counter[str]:
    try:
        return run(cell, folder, url)
    except Exception:
        sys.stdout.write(f"{cell} {traceback.format_exc()}")
        return Counter(failed=1)


def _print(name: str, row: Mapping[str, object]) -> None:
    sys.stdout.write(f"{name:46}" + "".join(f"{row.get(column, 0)!s:>11}" for column in COLUMNS) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
