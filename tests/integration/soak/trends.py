"""Detects growth: compares the medians of the second and the last quarter, and fits a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Final

from tests.integration.soak.samples import Sample

#: Allowed difference between the last and the second quarter, for caches and connections. Memory is in MiB, the rest
#: are numbers; the fitted line may rise by twice as much.
TOLERANCE: Final[Mapping[str, float]] = {
    "memory": 6.0,
    "descriptors": 12.0,
    "threads": 2.0,
    "greenlets": 30.0,
    "close_wait": 3.0,
}


@dataclass(frozen=True, kw_only=True)
class Trend:
    """The trend of one resource of one worker."""

    resource: str
    second: float  # quarter
    last: float
    slope: float  # per hour
    rise: float  # of the line, from the second quarter to the end

    @property
    def flat(self) -> bool:
        """Return whether the resource stayed within its tolerance."""
        tolerance = TOLERANCE[self.resource]
        return self.last - self.second <= tolerance and self.rise <= 2 * tolerance


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Return the trend of each resource of one worker; the first quarter is warm-up and not used."""
    return [
        _trend(resource, [(sample.at, float(getattr(sample, resource))) for sample in samples])
        for resource in Sample.columns()
    ]


def _trend(resource: str, points: Sequence[tuple[float, float]]) -> Trend:
    quarter = max(len(points) // 4, 1)
    warm = points[quarter:]
    slope = linear_regression([at for at, _ in warm], [value for _, value in warm]).slope
    return Trend(
        resource=resource,
        second=median(value for _, value in points[quarter : 2 * quarter]),
        last=median(value for _, value in points[-quarter:]),
        slope=slope * 3600,
        rise=slope * (warm[-1][0] - warm[0][0]),
    )
