"""Statistics that a reader can check by hand: medians, and percentiles by the nearest rank."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One round of one row: what so many requests cost the serving processes."""

    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a request, user and system."""
        return self.cpu_seconds / self.requests * 1e6

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that is not below `percent` of all; ValueError where there are none."""
    if not values or not 0 < percent <= 100:
        raise ValueError("a percentile needs values, and a percentage above 0")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[rank - 1]


def median_ratio(row: Sequence[Sample], floor: Sequence[Sample]) -> float:
    """Return how often the floor's CPU a row costs: round by round, for what disturbs a round disturbs both."""
    return statistics.median(mine.cpu_us / least.cpu_us for mine, least in zip(row, floor, strict=True))
