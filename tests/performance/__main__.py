"""Measures the cost of a request beside the alternatives and prints it: `python -m tests.performance`."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from tests.performance import growth, latency, nginx, report, rounds
from tests.performance.rounds import median_ratio
from tests.performance.rows import FLOOR, ROWS, evaluate
from tests.performance.servers import ROOT, Servers, run_gateway, run_servers

_RESULTS: Final = ROOT / "var/bench.json"
_PAGE: Final = ROOT / "deploy/benchmarks.md"
_STARTS: Final = 5
_PACKAGES: Final = (
    "flask", "werkzeug", "marshmallow", "requests", "urllib3", "gunicorn", "gunicorn_h1c", "gevent", "fastapi",
    "httpx", "uvicorn", "pydantic", "bkapi-component-open", "huaweicloudsdkprojectman",
)  # fmt: skip


def main() -> int:
    """Run the benchmark; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.performance", description=__doc__)
    parser.add_argument("--readme", action="store_true", help="write deploy/benchmarks.md from the last results")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the rows; latencies are taken in three")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of load for each row in each round")
    options = parser.parse_args()
    if options.readme:
        result = json.loads(_RESULTS.read_text(encoding="utf-8"))
        _PAGE.write_text(report.replace_block(_PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")
        return 0
    if not (nginx.PROGRAM and shutil.which("wrk")):
        sys.exit("nginx or wrk is missing: apt-get install nginx-light wrk")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    result = run(options.rounds, options.seconds)
    _RESULTS.parent.mkdir(parents=True, exist_ok=True)
    _RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(report.markdown(result))
    return 0 if all(verdict.met for verdict in evaluate(result)) else 1


def run(row_rounds: int, seconds: int) -> Mapping[str, Any]:
    """Measure everything and return it as JSON values."""
    started, about = time.monotonic(), describe_machine()
    with run_servers() as servers:
        take_sample = partial(rounds.take_sample, servers)
        samples = rounds.measure(ROWS, take_sample, rounds=row_rounds, seconds=seconds)
        gc.collect()
        gc.freeze()  # a collection between a scheduled time and its send would count as the server's
        return {
            "machine": about,
            "rows": [
                {
                    "name": row.name,
                    "does": row.does,
                    "leaves_out": row.leaves_out,
                    "cpu_us": statistics.median(sample.cpu_us for sample in samples[row.name]),
                    "times_floor": median_ratio(samples[row.name], samples[FLOOR]),
                    "per_second": statistics.median(sample.per_second for sample in samples[row.name]),
                    "rounds": [
                        {"cpu_us": sample.cpu_us, "per_second": sample.per_second} for sample in samples[row.name]
                    ],
                }
                for row in ROWS
            ],
            "latency": latency.measure(servers, rounds=3, seconds=seconds + 1),
            "growth": growth.measure(servers, seconds=1),
            "in_flight": latency.measure_in_flight(servers.folder),
            "start": _measure_start(servers),
            "took_seconds": time.monotonic() - started,
        }


def _measure_start(servers: Servers) -> Mapping[str, Any]:
    """Start gateways with new journals; return the seconds until /readyz answers 200, and their median."""
    seconds = []
    for number in range(_STARTS + 1):
        logging.getLogger(__name__).info("start %d of %d", number, _STARTS)
        with run_gateway(servers.folder / f"start{number}", servers.backend.url) as gateway:
            seconds.append(gateway.ready_seconds)
    seconds = seconds[1:]  # the first start reads cold files
    return {"seconds": statistics.median(seconds), "starts": seconds}


def describe_machine() -> Mapping[str, Any]:
    """Return the description as JSON values; the file system determines the cost of a durable commit."""
    return {
        "processor": _search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": _output("df", "--output=fstype", str(ROOT)).split()[-1],
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "nginx": _search(r"nginx/(\S+)", _output(str(nginx.PROGRAM), "-v")),
            "wrk": _search(r"wrk (\S+)", _output("wrk", "-v")),
            **{name: version(name) for name in _PACKAGES},
        },
    }


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def _search(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else "?"


if __name__ == "__main__":
    sys.exit(main())
