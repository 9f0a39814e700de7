import platform
import shutil
from pathlib import Path

import pytest

from tests.performance import __main__ as benchmark
from tests.performance import nginx, rounds
from tests.performance.rounds import Sample
from tests.performance.rows import Row


def test_rows_run_in_turns() -> None:
    """Each row is warmed up, then A B C A B C; every run has a unique name; the warm-up is not a sample."""
    runs: list[tuple[str, str]] = []

    def take_sample(row: Row, label: str, seconds: int) -> Sample:
        runs.append((row.name, label))
        return Sample(requests=1, seconds=seconds, cpu_seconds=len(runs))

    rows = [Row(name, "", None, "") for name in "abc"]
    samples = rounds.measure(rows, take_sample, rounds=2, seconds=2)
    assert [name for name, _ in runs] == ["a", "b", "c"] * 3
    assert len({label for _, label in runs}) == len(runs)
    assert [sample.cpu_seconds for sample in samples["b"]] == [5, 8]


def test_parse_output() -> None:
    """The last line has the number of requests and the duration."""
    output = (
        'noise\n\n{"requests": 10, "microseconds": 2000000, "socket_errors": 0, "error_statuses": 0, "timeouts": 0}\n'
    )
    assert rounds.parse_wrk(output) == (10, 2.0)


@pytest.mark.parametrize("error", ["socket_errors", "error_statuses", "timeouts"])
def test_failed_request_raises(error: str) -> None:
    """A failure has another cost than a success."""
    output = '{"requests": 10, "microseconds": 1, "socket_errors": 0, "error_statuses": 0, "timeouts": 0}'
    with pytest.raises(RuntimeError, match=error):
        rounds.parse_wrk(output.replace(f'"{error}": 0', f'"{error}": 1'))


def test_run_without_requests_raises() -> None:
    """Without responses there is no cost per request."""
    with pytest.raises(RuntimeError, match="of 0 requests"):
        rounds.parse_wrk('{"requests": 0, "microseconds": 1, "socket_errors": 0, "error_statuses": 0, "timeouts": 0}')


@pytest.mark.skipif(not (nginx.PROGRAM and shutil.which("wrk")), reason="nginx or wrk is not installed")
def test_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor, the file system of the nearest mount, and the versions; a missing one is an error."""
    monkeypatch.setattr(benchmark, "ROOT", Path("/proc/self"))
    monkeypatch.setattr(benchmark, "_PACKAGES", ("flask",))
    about = benchmark.describe_machine()
    assert about["processor"] in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()[4]
    assert about["file_system"] == "proc"
    assert about["versions"]["python"] == platform.python_version()
    assert "?" not in about["versions"].values()
