"""Runs a gateway for a while under mixed traffic with failing backends, and checks its promises and resources."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from unittest.mock import patch

from tests.integration.chaos.testbed import GatewayTestbed, Topology, run_testbed
from tests.integration.soak.resources import TOLERANCE, VARIABLE, Sample, Trend, sample, trend, workers
from tests.integration.soak.traffic import Traffic

_TOPOLOGY: Final = Topology(workers=2, deadline=3.0, hard=2.0, settle=3.0, application="tests.integration.soak.app:app")
#: Without a given rate the maximum rate is measured for this long at the start; seconds.
_RATE_MEASUREMENT: Final = 6.0
_SHARE_OF_MAXIMUM: Final = 0.5
_FAULT_INTERVAL: Final = 0.5


class Outcome(NamedTuple):
    """The results of a run."""

    traffic: Traffic
    trends: Mapping[tuple[int, str], Trend]  # by worker and resource
    journal_mib: tuple[float, float]  # at the start and at the end
    violations: Mapping[str, object]  # by promise


def soak(
    folder: Path,
    *,
    seconds: float,
    rate: float | None = None,
    callers: int = 24,
    sample_interval: float = 5.0,
    seed: int = 1,
) -> Outcome:
    """Run for some seconds; `rate` is in requests per second, by default half of the measured maximum."""
    (counts := folder / "counts").mkdir(parents=True)
    with patch.dict("os.environ", {VARIABLE: str(counts)}), run_testbed(folder / "testbed", _TOPOLOGY) as testbed:
        traffic, master = Traffic(testbed), testbed.replicas[0].group
        first_workers, size_before = workers(master), _journal_mib(testbed)
        with _in_background(*(partial(traffic.run_caller, seed + number) for number in range(callers))):
            traffic.rate = rate or _measure_rate(traffic) * _SHARE_OF_MAXIMUM
            with _in_background(partial(traffic.inject_faults, seed, _FAULT_INTERVAL)):
                samples = _sample(first_workers, counts, seconds, sample_interval)
        settled = testbed.wait_until_settled()
        trends = {
            (worker, resource): trend(resource, values) for worker, values in samples.items() for resource in TOLERANCE
        }
        violations = {
            "workers ended": sorted(first_workers - workers(master)),
            "resources grew": [f"{worker} {resource}" for (worker, resource), each in trends.items() if not each.flat],
            "unexpected responses": dict(traffic.unexpected),
            "operations that did not end": 0 if settled else testbed.live(),
            "creates without a final response": traffic.unanswered,
            **_compare_with_ledgers(testbed, traffic),
            "errors in the log": _log_errors(folder / "testbed"),
        }
        sizes = size_before, _journal_mib(testbed)
        return Outcome(traffic, trends, sizes, {promise: value for promise, value in violations.items() if value})


def _journal_mib(testbed: GatewayTestbed) -> float:
    """Return the size of the journal and its companion files."""
    journal = Path(testbed.journal_url.removeprefix("sqlite:///"))
    return sum(file.stat().st_size for file in journal.parent.glob(f"{journal.name}*")) / 2**20


def _measure_rate(traffic: Traffic) -> float:
    time.sleep(1.0)
    before = traffic.requests
    time.sleep(_RATE_MEASUREMENT)
    return (traffic.requests - before) / _RATE_MEASUREMENT


@contextmanager
def _in_background(*functions: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run each function in a thread during a with block, then set its event and join it."""
    stopped = threading.Event()
    threads = [threading.Thread(target=function, args=(stopped,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _sample(processes: set[int], counts: Path, seconds: float, interval: float) -> Mapping[int, list[Sample]]:
    """Return the samples of each worker."""
    samples: dict[int, list[Sample]] = {worker: [] for worker in sorted(processes)}
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        time.sleep(interval)
        for worker in processes:
            with suppress(OSError):
                samples[worker].append((time.monotonic() - started, sample(worker, counts)))
    return samples


def _compare_with_ledgers(testbed: GatewayTestbed, traffic: Traffic) -> Mapping[str, object]:
    """Return names that were created twice, and modules of a 201 that are not in the ledger."""
    entries = [(backend, entry) for backend in testbed.twins for entry in testbed.created(backend)]
    names = Counter(str(entry["natural_key"]) for _, entry in entries)
    return {
        "created twice": [name for name, count in names.items() if count > 1],
        "answered with 201 but not created": sorted(
            traffic.created - {(backend, str(entry["id"])) for backend, entry in entries}
        ),
    }


def _log_errors(folder: Path) -> list[str]:
    """Return the first log lines that report an error."""
    lines = [line for log in folder.glob("*.log") for line in log.read_text(errors="replace").splitlines()]
    return [line[:500] for line in lines if "Traceback" in line or '"level":"error"' in line or "[ERROR]" in line][:5]
