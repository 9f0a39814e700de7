"""Measures what a request costs, beside what others cost, and prints it: `python -m tests.performance`."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.performance import crowd, growth, latency, machine, report, rounds, site, start, table
from tests.performance.figures import Sample, median_ratio
from tests.performance.servers import ROOT
from tests.performance.targets import judge

_README: Final = ROOT / "deploy/benchmarks.md"
_WAITS: Final = 3  # rounds in which latencies are taken


def main(arguments: list[str]) -> int:
    """Return 1 where a target is missed."""
    told = _options(arguments)
    if told.readme:
        result = json.loads(told.json.read_text(encoding="utf-8"))
        readme = report.into_readme(_README.read_text(encoding="utf-8"), result)
        _README.write_text(readme, encoding="utf-8")
        return 0
    result = run(told.rounds, told.seconds)
    told.json.parent.mkdir(parents=True, exist_ok=True)
    told.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(report.text(result))
    return 0 if all(verdict.met for verdict in judge(result)) else 1


def run(times: int, seconds: int) -> Mapping[str, Any]:
    """Measure everything and return it as plain JSON."""
    began, about = time.monotonic(), machine.describe()
    _tell("starting")
    with site.opened() as where:
        rows = table.rows(where)
        samples = rounds.measure(rows, rounds=times, seconds=seconds, tell=_tell)
        gc.collect()
        gc.freeze()  # a collection between a planned time and a send would count as the server's
        waits = latency.added(where, rounds=_WAITS, seconds=seconds + 1, tell=_tell)
        grown = growth.measure(where, seconds=1, tell=_tell)
        _tell("creates at once")
        crowded = crowd.gather(where.folder / "crowd")
        _tell("starting again and again")
        started = start.measure(where.folder / "start", where.backend.url)
    return {
        "machine": about,
        "rows": [_row(row, samples) for row in rows],
        "latency": waits,
        "in_flight": crowded,
        "growth": grown,
        "start": started,
        "took_seconds": time.monotonic() - began,
    }


def _row(row: rounds.Row, samples: Mapping[str, list[Sample]]) -> Mapping[str, Any]:
    own = samples[row.name]
    return {
        "name": row.name,
        "does": row.does,
        "leaves_out": row.leaves_out,
        "cpu_us": statistics.median(sample.cpu_us for sample in own),
        "times_floor": median_ratio(own, samples[table.FLOOR]),
        "per_second": statistics.median(sample.per_second for sample in own),
        "rounds": [{"cpu_us": sample.cpu_us, "per_second": sample.per_second} for sample in own],
    }


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.performance", description=__doc__)
    parser.add_argument("--json", type=Path, default=ROOT / "var/bench.json", help="where the figures go, or are")
    parser.add_argument("--readme", action="store_true", help="measure nothing: write deploy/benchmarks.md")
    parser.add_argument("--rounds", type=int, default=5, help="of the rows; the latencies have three")
    parser.add_argument("--seconds", type=int, default=2, help="of load, for each row in each round")
    return parser.parse_args(arguments)


def _tell(what: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
