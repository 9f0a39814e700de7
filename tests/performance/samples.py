"""Samples of a row, medians, and percentiles by the nearest rank."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One round of one row; the CPU time is that of the serving processes."""

    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per request, user and system."""
        return self.cpu_seconds / self.requests * 1e6

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that is not below `percent` of all; raise ValueError if there are none."""
    if not values or not 0 < percent <= 100:
        raise ValueError("a percentile needs values, and a percentage above 0")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[rank - 1]


def median_ratio(samples: Sequence[Sample], floor: Sequence[Sample]) -> float:
    """Return the median of the CPU ratios of each round, since a disturbance affects both samples of a round."""
    return statistics.median(own.cpu_us / base.cpu_us for own, base in zip(samples, floor, strict=True))
