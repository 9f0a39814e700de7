"""Measures the cost of a request beside the alternatives and prints it: `python -m tests.performance`."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tests.performance import concurrency, growth, latency, machine, report, rounds, servers_fixture, table
from tests.performance.samples import Sample, median_ratio
from tests.performance.servers import ROOT
from tests.performance.targets import evaluate

_PAGE: Final = ROOT / "deploy/benchmarks.md"
_LATENCY_ROUNDS: Final = 3
_STARTS: Final = 5


def main(arguments: list[str]) -> int:
    """Run the benchmark; return 1 if a target is missed."""
    options = _parse_arguments(arguments)
    if options.readme:
        result = json.loads(options.json.read_text(encoding="utf-8"))
        page = report.replace_block(_PAGE.read_text(encoding="utf-8"), result)
        _PAGE.write_text(page, encoding="utf-8")
        return 0
    result = run(options.rounds, options.seconds)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(report.text(result))
    return 0 if all(verdict.met for verdict in evaluate(result)) else 1


def run(row_rounds: int, seconds: int) -> Mapping[str, Any]:
    """Measure everything and return it as JSON values."""
    started, about = time.monotonic(), machine.describe()
    _progress("starting the servers")
    with servers_fixture.run_servers() as servers:
        rows = table.rows(servers)
        samples = rounds.measure(rows, rounds=row_rounds, seconds=seconds, progress=_progress)
        gc.collect()
        gc.freeze()  # a collection between a scheduled time and its send would count as the server's
        latencies = latency.measure(servers, rounds=_LATENCY_ROUNDS, seconds=seconds + 1, progress=_progress)
        scopes = growth.measure(servers, seconds=1, progress=_progress)
        _progress("concurrent creates")
        in_flight = concurrency.measure(servers.folder / "concurrency")
        _progress("start times")
        start = _measure_start(servers.folder / "start", servers.backend.url)
    return {
        "machine": about,
        "rows": [_row(row, samples) for row in rows],
        "latency": latencies,
        "in_flight": in_flight,
        "growth": scopes,
        "start": start,
        "took_seconds": time.monotonic() - started,
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


def _measure_start(folder: Path, backend: str) -> Mapping[str, Any]:
    """Start gateways with new journals; return the seconds until /readyz answers 200, and their median."""
    folder.mkdir()
    seconds = []
    for number in range(_STARTS + 1):
        with ExitStack() as stack:
            starter = servers_fixture.ServerStarter(folder, stack)
            seconds.append(starter.gateway(f"start{number}", backend).ready_seconds)
    seconds = seconds[1:]  # the first start reads cold files
    return {"seconds": statistics.median(seconds), "starts": seconds}


def _parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.performance", description=__doc__)
    parser.add_argument("--json", type=Path, default=ROOT / "var/bench.json", help="the file of the results")
    parser.add_argument("--readme", action="store_true", help="write deploy/benchmarks.md from the last results")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the rows; latencies are taken in three")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of load for each row in each round")
    return parser.parse_args(arguments)


def _progress(message: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {message}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
