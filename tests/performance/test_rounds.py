from pathlib import Path

import pytest

from tests.performance import machine, rounds, wrk
from tests.performance.samples import Sample


def test_rows_run_in_turns() -> None:
    """Each row is warmed up, then A B C A B C; every run has a unique name; the warm-up is not a sample."""
    runs: list[tuple[str, str]] = []

    def row(name: str) -> rounds.Row:
        def run(label: str, seconds: int) -> Sample:
            runs.append((name, label))
            return Sample(requests=1, seconds=seconds, cpu_seconds=len(runs))

        return rounds.Row(name=name, does="", leaves_out="", run=run)

    samples = rounds.measure([row("a"), row("b"), row("c")], rounds=2, seconds=2, progress=lambda _: None)
    assert [name for name, _ in runs] == ["a", "b", "c"] * 3
    assert len({label for _, label in runs}) == len(runs)
    assert [sample.cpu_seconds for sample in samples["b"]] == [5, 8]


def test_parse_output() -> None:
    """The last line has the number of requests and the duration."""
    output = (
        'noise\n\n{"requests": 10, "microseconds": 2000000, "socket_errors": 0, "error_statuses": 0, "timeouts": 0}\n'
    )
    assert wrk.parse_output(output) == wrk.Load(requests=10, seconds=2.0)


@pytest.mark.parametrize("error", ["socket_errors", "error_statuses", "timeouts"])
def test_failed_request_raises(error: str) -> None:
    """A failure has another cost than a success."""
    output = '{"requests": 10, "microseconds": 1, "socket_errors": 0, "error_statuses": 0, "timeouts": 0}'
    with pytest.raises(RuntimeError, match=error):
        wrk.parse_output(output.replace(f'"{error}": 0', f'"{error}": 1'))


def test_run_without_requests_raises() -> None:
    """Without responses there is no cost per request."""
    with pytest.raises(RuntimeError, match="of 0 requests"):
        wrk.parse_output('{"requests": 0, "microseconds": 1, "socket_errors": 0, "error_statuses": 0, "timeouts": 0}')


def test_file_system_is_that_of_the_nearest_mount() -> None:
    """The longest mount point that contains a path decides."""
    mounts = ["/dev/a / ext4 rw 0 0", "none /a tmpfs rw 0 0", "none /a/deep xfs rw 0 0"]
    assert machine.file_system(Path("/a/deep/er"), mounts) == "xfs"
    assert machine.file_system(Path("/a/deeper"), mounts) == "tmpfs"
    assert machine.file_system(Path("/b"), mounts) == "ext4"


def test_processor() -> None:
    """The name is in the first matching line of /proc/cpuinfo."""
    assert machine.processor(["vendor_id\t: Y", "model name\t: X 1", "model name\t: Z"]) == "X 1"
