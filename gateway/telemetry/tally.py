"""Counts and durations that cost a request next to nothing: sums in memory, handed on once a second.

An increment of prometheus_client's takes a lock and, with several workers, writes into a shared file; a request and
its exchange would pay for that six times. Here they add to a list twice.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final, Protocol, cast

from prometheus_client import Counter, Histogram

Labels = tuple[str, ...]


class _Child(Protocol):
    """What the library's own `observe` adds to: it offers nothing for many observations at once."""

    _sum: Counter
    _buckets: list[Counter]


class Tally:
    """A counter, and a histogram over the first few of its labels.

    No greenlet gives way in the middle of a sum, so nothing is lost, and no lock is needed.
    """

    def __init__(self, counter: Counter, histogram: Histogram, bounds: tuple[float, ...], *, shared: int) -> None:
        self._counter = counter
        self._histogram = histogram
        self._bounds = bounds
        self._shared = shared
        self._sums: dict[Labels, list[float]] = {}  # count, seconds, then the count in each bucket
        self._handed_on: dict[Labels, list[float]] = {}
        self._nothing: Final = [0.0] * (3 + len(bounds))

    def note(self, labels: Labels, seconds: float) -> None:
        """Count one, that took so long."""
        sums = self._sums.get(labels)
        if sums is None:
            sums = self._sums[labels] = self._nothing[:]
        sums[0] += 1.0
        sums[1] += seconds
        sums[2 + bisect_left(self._bounds, seconds)] += 1.0

    def hand_on(self) -> None:
        """Bring counter and histogram up to date."""
        for labels, sums in tuple(self._sums.items()):
            before, now = self._handed_on.get(labels, self._nothing), sums[:]
            if now[0] == before[0]:
                continue
            self._handed_on[labels] = now
            count, seconds, *buckets = (new - old for new, old in zip(now, before, strict=True))
            self._counter.labels(*labels).inc(count)
            child = cast("_Child", cast("Any", self._histogram.labels(*labels[: self._shared])))
            child._sum.inc(seconds)  # noqa: SLF001
            for bucket, more in zip(child._buckets, buckets, strict=True):  # noqa: SLF001
                if more:
                    bucket.inc(more)
