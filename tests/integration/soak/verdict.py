"""Tells growth from noise: medians of the second and the last quarter, and a line through everything between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Final

from tests.integration.soak.samples import Sample

#: How much more there may be in the last quarter than in the second: caches fill, connections come and go.
#: Memory in MiB, the rest in numbers; a line through all samples may rise twice as much.
TOLERANCE: Final[Mapping[str, float]] = {
    "memory": 6.0,
    "descriptors": 12.0,
    "threads": 2.0,
    "greenlets": 30.0,
    "close_wait": 3.0,
}


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How one figure of one worker went."""

    what: str
    second: float  # quarter
    last: float
    slope: float  # an hour
    rise: float  # of the line, from the second quarter to the end

    @property
    def flat(self) -> bool:
        """Tell whether it stayed within the tolerance."""
        most = TOLERANCE[self.what]
        return self.last - self.second <= most and self.rise <= 2 * most


def trends(samples: Sequence[Sample]) -> list[Trend]:
    """Judge all figures of one worker; the first quarter is for warming up."""
    return [_trend(what, [(each.at, float(getattr(each, what))) for each in samples]) for what in Sample.columns()]


def _trend(what: str, points: Sequence[tuple[float, float]]) -> Trend:
    quarter = max(len(points) // 4, 1)
    warm = points[quarter:]
    slope = linear_regression([at for at, _ in warm], [value for _, value in warm]).slope
    return Trend(
        what=what,
        second=median(value for _, value in points[quarter : 2 * quarter]),
        last=median(value for _, value in points[-quarter:]),
        slope=slope * 3600,
        rise=slope * (warm[-1][0] - warm[0][0]),
    )
