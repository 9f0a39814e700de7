import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.performance.rounds import Sample, cpu_seconds, cpu_used, median_ratio, peak_memory_mib, percentile

PROGRAM = """
import os, sys, time
while time.process_time() < 0.5: pass
bytearray(50_000_000)
print(os.getpid(), flush=True)
sys.stdin.read()
"""


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
    sample = Sample(2000, 4.0, 1.0)
    assert (sample.cpu_us, sample.per_second) == (500.0, 500.0)


def test_ratio_of_each_round() -> None:
    """A round in which the whole machine was three times slower does not move the ratio."""
    floor = [Sample(1, 1.0, cpu) for cpu in (1.0, 3.0, 1.0)]
    samples = [Sample(1, 1.0, cpu) for cpu in (2.0, 6.0, 2.2)]
    assert median_ratio(samples, floor) == 2.0


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A shell and its child, which has used CPU and memory and waits; the child's name looks like fields of stat."""
    python = tmp_path / "x) R 1 (y"
    python.symlink_to(sys.executable)
    command = ["/bin/sh", "-c", '"$0" -c "$1"; :', str(python), PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout
        yield shell.pid, int(shell.stdout.readline())


def test_cpu_of_all_descendants(processes: tuple[int, int]) -> None:
    """User and system time of a process and its descendants are read, and of no other process."""
    shell, child = processes
    seconds = cpu_seconds(shell)
    assert seconds.keys() == {shell, child}
    assert 0.5 <= seconds[child] < 5
    assert seconds[child] > 0.3 + seconds[shell]


def test_peak_memory(processes: tuple[int, int]) -> None:
    """The maximum is reported, in MiB, although the memory has been freed."""
    assert 47 < peak_memory_mib(processes[1]) < 100


def test_cpu_used() -> None:
    """The result is the difference of the sums."""
    assert cpu_used({1: 1.0, 2: 2.0}, {1: 1.5, 2: 4.0}) == 2.5


@pytest.mark.parametrize("after", [{1: 1.0}, {1: 1.0, 2: 1.0, 3: 1.0}, {1: 1.0, 4: 0.0}])
def test_replaced_worker_raises(after: dict[int, float]) -> None:
    """The CPU of the process that ended is unknown, and the result would be too low."""
    with pytest.raises(RuntimeError, match="ended or started"):
        cpu_used({1: 1.0, 2: 1.0}, after)
