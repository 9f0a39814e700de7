import pytest

from tests.performance.samples import Sample, median_ratio, percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([7.0], 99, 7.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 51, 3.0),
        ([float(number) for number in range(1, 101)], 99, 99.0),
        ([float(number) for number in range(1, 101)], 100, 100.0),
        ([float(number) for number in range(1, 102)], 99, 100.0),
    ],
)
def test_percentile_is_a_measured_value(values: list[float], percent: float, expected: float) -> None:
    """Nearest rank: the smallest value that is not below the percentage; no interpolation."""
    assert percentile(values, percent) == expected


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_percentile_without_values(values: list[float], percent: float) -> None:
    """No values or a percentage outside 0 to 100 raise ValueError."""
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_sample_per_request() -> None:
    """CPU in microseconds per request, and requests per second."""
    sample = Sample(requests=2000, seconds=4.0, cpu_seconds=1.0)
    assert (sample.cpu_us, sample.per_second) == (500.0, 500.0)


def test_ratio_of_each_round() -> None:
    """A round in which the whole machine was three times slower does not move the ratio."""
    floor = [Sample(requests=1, seconds=1, cpu_seconds=cpu) for cpu in (1.0, 3.0, 1.0)]
    samples = [Sample(requests=1, seconds=1, cpu_seconds=cpu) for cpu in (2.0, 6.0, 2.2)]
    assert median_ratio(samples, floor) == 2.0
