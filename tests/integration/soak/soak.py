"""Runs a gateway for a while under mixed traffic with failing backends, and checks its promises and resources."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from unittest.mock import patch

from tests.integration.chaos.testbed import GatewayTestbed, Topology, run_testbed
from tests.integration.soak.fault_schedule import FaultSchedule
from tests.integration.soak.module_lifecycle import ModuleLifecycle
from tests.integration.soak.response_checks import CheckedClient
from tests.integration.soak.samples import VARIABLE, Sample, by_worker, journal_size, take_sample, workers
from tests.integration.soak.trends import Trend, trends

_TOPOLOGY: Final = Topology(workers=2, deadline=3.0, hard=2.0, settle=3.0, application="tests.integration.soak.app:app")
#: Without a given rate the maximum rate is measured for this long at the start; seconds.
_RATE_MEASUREMENT: Final = 6.0
_SHARE_OF_MAXIMUM: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Duration, load and random seed of a run; times in seconds."""

    seconds: float
    rate: float | None = None  # requests per second; None: half of the measured maximum
    callers: int = 24
    fault_interval: float = 0.5
    sample_interval: float = 5.0
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The results of a run."""

    rate: float
    trends: Mapping[int, Sequence[Trend]]  # by worker
    journal: tuple[float, float]  # MiB at the start and at the end
    responses: Counter[str]
    faults: Counter[str]
    violations: Mapping[str, object] = field(default_factory=dict)  # by promise

    @property
    def passed(self) -> bool:
        """Return whether every promise was kept."""
        return not self.violations


class _Pacer:
    """Limits the rate of all callers together; a rate of 0 is no limit."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.requests = 0
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.requests += 1
            self._next = max(self._next, time.monotonic()) + (1 / self.rate if self.rate else 0.0)
            delay = self._next - time.monotonic()
        if delay > 0:
            time.sleep(delay)


def soak(plan: Plan, folder: Path) -> Outcome:
    """Run a plan and return its outcome."""
    (counts := folder / "counts").mkdir(parents=True)
    with patch.dict("os.environ", {VARIABLE: str(counts)}), run_testbed(folder / "testbed", _TOPOLOGY) as testbed:
        replica, pacer, faults = testbed.replicas[0], _Pacer(), FaultSchedule(testbed, plan.seed)
        journal = Path(testbed.journal_url.removeprefix("sqlite:///"))
        client, first_workers = CheckedClient(testbed.addresses[0], pacer), workers(replica.group)
        callers = [ModuleLifecycle(client, plan.seed + number) for number in range(plan.callers)]
        started, size_before = time.monotonic(), journal_size(journal)
        with _in_background(*(caller.run for caller in callers)):
            pacer.rate = plan.rate or _measure_rate(pacer) * _SHARE_OF_MAXIMUM
            with _in_background(partial(faults.run, plan.fault_interval)):
                samples = list(_sample(plan, first_workers, counts, started))
            faults.clear()
        settled = testbed.wait_until_settled()
        worker_trends = {worker: trends(values) for worker, values in by_worker(samples).items()}
        return Outcome(
            rate=pacer.rate,
            trends=worker_trends,
            journal=(size_before, journal_size(journal)),
            responses=client.responses,
            faults=faults.injected,
            violations=_without_empty(
                {
                    "workers ended": sorted(set(first_workers) - set(workers(replica.group))),
                    "resources grew": _growing(worker_trends),
                    "unexpected responses": dict(client.unexpected),
                    "operations that did not end": 0 if settled else testbed.live(),
                    "creates without a final response": [name for caller in callers for name in caller.unanswered],
                    **_compare_with_ledgers(testbed, callers),
                    "errors in the log": _log_errors(folder / "testbed"),
                }
            ),
        )


def _without_empty(violations: Mapping[str, object]) -> Mapping[str, object]:
    return {promise: violation for promise, violation in violations.items() if violation}


def _growing(worker_trends: Mapping[int, Sequence[Trend]]) -> list[str]:
    pairs = ((worker, trend) for worker, values in worker_trends.items() for trend in values)
    return [f"{worker} {trend.resource}" for worker, trend in pairs if not trend.flat]


def _measure_rate(pacer: _Pacer) -> float:
    time.sleep(1.0)
    before = pacer.requests
    time.sleep(_RATE_MEASUREMENT)
    return (pacer.requests - before) / _RATE_MEASUREMENT


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


def _sample(plan: Plan, processes: Sequence[int], counts: Path, started: float) -> Iterator[Mapping[int, Sample]]:
    deadline = time.monotonic() + plan.seconds
    while time.monotonic() < deadline:
        time.sleep(plan.sample_interval)
        samples = {}
        for worker in processes:
            with suppress(OSError):
                samples[worker] = take_sample(worker, counts, time.monotonic() - started)
        yield samples


def _compare_with_ledgers(testbed: GatewayTestbed, callers: Sequence[ModuleLifecycle]) -> Mapping[str, object]:
    """Return names that were created twice, and modules of a 201 that are not in the ledger."""
    ledgers = {backend: testbed.created(backend) for backend in testbed.twins}
    names = Counter(str(entry["natural_key"]) for entries in ledgers.values() for entry in entries)
    ids = {(backend, str(entry["id"])) for backend, entries in ledgers.items() for entry in entries}
    return {
        "created twice": [name for name, count in names.items() if count > 1],
        "answered with 201 but not created": sorted({key for caller in callers for key in caller.created} - ids),
    }


def _log_errors(folder: Path) -> list[str]:
    """Return the first log lines that report an error."""
    lines = [line for log in folder.glob("*.log") for line in log.read_text(errors="replace").splitlines()]
    return [line[:500] for line in lines if "Traceback" in line or '"level":"error"' in line or "[ERROR]" in line][:5]
