"""A gateway under mixed traffic with failing backends keeps its promises, and its resources do not grow."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import linear_regression, median
from typing import Final, NamedTuple
from unittest.mock import patch

import pytest

from tests.integration.chaos.testbed import GatewayTestbed, Topology, run_testbed
from tests.integration.soak.traffic import Traffic

_CLOSE_WAIT: Final = "08"
#: Allowed difference between the last and the second quarter, for caches and connections. Memory is in MiB, the rest
#: are numbers; the fitted line may rise by twice as much.
TOLERANCE: Final[Mapping[str, float]] = {
    "memory": 6.0,  # resident
    "descriptors": 12.0,
    "threads": 2.0,
    "greenlets": 30.0,
    "close_wait": 3.0,  # connections that only the other side has closed
}
#: The seconds since the start, and the resources of a worker.
Sample = tuple[float, Mapping[str, float]]


class Trend(NamedTuple):
    """The trend of one resource of one worker."""

    second: float  # quarter
    last: float
    slope: float  # per hour
    flat: bool  # whether the resource stayed within its tolerance


def sample(worker: int, counts: Path) -> Mapping[str, float]:
    """Sample a worker; `counts` is the folder of the greenlet counts. Raise OSError if the worker has ended."""
    process = Path(f"/proc/{worker}")
    links = []
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed after it was listed
            links.append(str(descriptor.readlink()))
    connections = [line.split() for line in (process / "net/tcp").read_text().splitlines()[1:]]
    close_wait = {f"socket:[{fields[9]}]" for fields in connections if fields[3] == _CLOSE_WAIT}
    count = counts / str(worker)
    return {
        "memory": int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "descriptors": len(links),
        "threads": len(list((process / "task").iterdir())),
        "greenlets": float(count.read_text() or 0) if count.exists() else 0.0,
        "close_wait": sum(link in close_wait for link in links),
    }


def trend(resource: str, samples: Sequence[Sample]) -> Trend:
    """Return the trend of a resource; the first quarter is warm-up and not used."""
    quarter, tolerance = max(len(samples) // 4, 1), TOLERANCE[resource]
    times, values = [at for at, _ in samples[quarter:]], [float(values[resource]) for _, values in samples]
    second, last = median(values[quarter : 2 * quarter]), median(values[-quarter:])
    slope = linear_regression(times, values[quarter:]).slope
    flat = last - second <= tolerance and slope * (times[-1] - times[0]) <= 2 * tolerance
    return Trend(second, last, slope * 3600, flat)


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


def soak(folder: Path, seconds: float, rate: float | None, *, callers: int, interval: float, seed: int = 1) -> Outcome:
    """Run for some seconds; `rate` is in requests per second, None is half of the measured maximum."""
    (counts := folder / "counts").mkdir(parents=True)
    with patch.dict("os.environ", {"SOAK_COUNTS": str(counts)}), run_testbed(folder / "testbed", _TOPOLOGY) as testbed:
        traffic, replica = Traffic(testbed), testbed.replicas[0]
        first_workers, size_before = replica.workers, _journal_mib(testbed)
        with _in_background(*(partial(traffic.run_caller, seed + number) for number in range(callers))):
            traffic.rate = rate or _measure_rate(traffic) * _SHARE_OF_MAXIMUM
            with _in_background(partial(traffic.inject_faults, seed, _FAULT_INTERVAL)):
                samples = _sample(first_workers, counts, seconds, interval)
        settled = testbed.wait_until_settled()
        trends = {
            (worker, resource): trend(resource, values) for worker, values in samples.items() for resource in TOLERANCE
        }
        violations = {
            "workers ended": sorted(first_workers - replica.workers),
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


#: By default just long enough to detect a leak of 10 kB per request; `make soak` runs longer and detects smaller ones.
MINUTES: Final = float(os.environ.get("SOAK_MINUTES", "0.6"))


@pytest.mark.loopback
@pytest.mark.timeout(MINUTES * 60 + 180)
def test_no_growth_and_no_violation(tmp_path: Path) -> None:
    """Under mixed traffic with failing backends no resource of a worker grows, and every create ends once."""
    rate, callers, interval = (30.0, 12, 1.0) if MINUTES < 2 else (None, 24, 5.0)
    outcome = soak(tmp_path / "soak", MINUTES * 60, rate, callers=callers, interval=interval)
    responses, faults = outcome.traffic.responses, outcome.traffic.faults
    print(*outcome.trends.items(), outcome.journal_mib, responses, faults, sep="\n")  # noqa: T201 - make soak shows it
    assert outcome.violations == {}
    assert responses.total() > MINUTES * 60
    assert {"create 201", "list 200", "patch 200", "delete 204"} <= set(responses)
    assert faults.total() > len(faults) > 5
