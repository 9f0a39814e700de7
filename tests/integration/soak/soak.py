"""Runs a gateway for a while under mixed traffic and failing backends, and says what became of it."""

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

from tests.integration.chaos.stand import Shape, Stand, match
from tests.integration.soak.lives import Lives
from tests.integration.soak.samples import VARIABLE, Sample, by_worker, look, size, workers
from tests.integration.soak.told import Told
from tests.integration.soak.verdict import Trend, trends
from tests.integration.soak.weather import Weather

_SHAPE: Final = Shape(workers=2, deadline=3.0, hard=2.0, settle=3.0, application="tests.integration.soak.app:app")
#: What the gateway can carry is measured so long at the start, where no rate is given; seconds.
_MEASURED: Final = 6.0
_SHARE: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long, how hard, and how the dice fall."""

    seconds: float
    rate: float | None = None  # requests a second; None: half of what is measured
    callers: int = 24
    fault_every: float = 0.5
    sample_every: float = 5.0
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of it; sound where nothing grew and nothing was broken."""

    rate: float
    trends: Mapping[int, Sequence[Trend]]  # by worker
    journal: tuple[float, float]  # MiB at the start and at the end
    answers: Counter[str]
    faults: Counter[str]
    broken: Mapping[str, object] = field(default_factory=dict)  # each promise that was not kept, and how

    @property
    def sound(self) -> bool:
        """Tell whether every promise was kept."""
        return not self.broken


class _Pace:
    """Lets so many requests through a second, all callers together; all of them while it measures."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.passed = 0
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self.passed += 1
            self._next = max(self._next, time.monotonic()) + (1 / self.rate if self.rate else 0.0)
            wait = self._next - time.monotonic()
        if wait > 0:
            time.sleep(wait)


def soak(plan: Plan, folder: Path) -> Outcome:
    """Run a plan."""
    (counts := folder / "counts").mkdir(parents=True)
    with patch.dict("os.environ", {VARIABLE: str(counts)}), match(folder / "stand", _SHAPE) as stand:
        replica, pace, weather = stand.replicas[0], _Pace(), Weather(stand, plan.seed)
        journal = Path(stand.journal_url.removeprefix("sqlite:///"))
        told, first = Told(stand.addresses[0], pace), workers(replica.group)
        lives = [Lives(told, plan.seed + number) for number in range(plan.callers)]
        begun, before = time.monotonic(), size(journal)
        with _meanwhile(*(life.lead for life in lives)):
            pace.rate = plan.rate or _measured(pace) * _SHARE
            with _meanwhile(partial(weather.blow, plan.fault_every)):
                lookups = list(_looks(plan, first, counts, begun))
            weather.calm()
        settled = stand.settles()
        stories = by_worker(lookups)
        grown = {worker: trends(story) for worker, story in stories.items()}
        return Outcome(
            rate=pace.rate,
            trends=grown,
            journal=(before, size(journal)),
            answers=told.answers,
            faults=weather.ordered,
            broken=_broken(
                {
                    "workers ended": sorted(set(first) - set(workers(replica.group))),
                    "grew": [f"{w} {trend.what}" for w, each in grown.items() for trend in each if not trend.flat],
                    "unexpected": dict(told.unexpected),
                    "operations that did not end": 0 if settled else stand.live(),
                    "creates without an end": [name for life in lives for name in life.unanswered],
                    **_against_the_ledger(stand, lives),
                    "in the log": _complaints(folder / "stand"),
                }
            ),
        )


def _broken(promises: Mapping[str, object]) -> Mapping[str, object]:
    return {name: how for name, how in promises.items() if how}


def _measured(pace: _Pace) -> float:
    time.sleep(1.0)
    before = pace.passed
    time.sleep(_MEASURED)
    return (pace.passed - before) / _MEASURED


@contextmanager
def _meanwhile(*works: Callable[[threading.Event], None]) -> Iterator[None]:
    """Let work go on beside, each in a thread of its own, until it is told that it is over."""
    over = threading.Event()
    threads = [threading.Thread(target=work, args=(over,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _looks(plan: Plan, processes: Sequence[int], counts: Path, begun: float) -> Iterator[Mapping[int, Sample]]:
    until = time.monotonic() + plan.seconds
    while time.monotonic() < until:
        time.sleep(plan.sample_every)
        seen = {}
        for worker in processes:
            with suppress(OSError):
                seen[worker] = look(worker, counts, time.monotonic() - begun)
        yield seen


def _against_the_ledger(stand: Stand, lives: Sequence[Lives]) -> Mapping[str, object]:
    """Compare what callers were given with what was made: each name at most once, each given module there."""
    made = {backend: stand.created(backend) for backend in stand.twins}
    names = Counter(str(each["natural_key"]) for entries in made.values() for each in entries)
    ids = {(backend, str(each["id"])) for backend, entries in made.items() for each in entries}
    return {
        "made twice": [name for name, times in names.items() if times > 1],
        "given and never made": sorted({given for life in lives for given in life.made} - ids),
    }


def _complaints(folder: Path) -> list[str]:
    """Return the lines of the log that tell of a mistake."""
    lines = [line for log in folder.glob("*.log") for line in log.read_text(errors="replace").splitlines()]
    return [line[:500] for line in lines if "Traceback" in line or '"level":"error"' in line or "[ERROR]" in line][:5]
