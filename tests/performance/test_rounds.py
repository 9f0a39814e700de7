from pathlib import Path

import pytest

from tests.performance import machine, rounds, wrk
from tests.performance.figures import Sample


def test_rows_take_turns() -> None:
    """Each is warmed up, then A B C A B C, every run under a name of its own; the warm-up does not count."""
    runs: list[tuple[str, str]] = []

    def row(name: str) -> rounds.Row:
        def run(label: str, seconds: int) -> Sample:
            runs.append((name, label))
            return Sample(requests=1, seconds=seconds, cpu_seconds=len(runs))

        return rounds.Row(name=name, does="", leaves_out="", run=run)

    found = rounds.measure([row("a"), row("b"), row("c")], rounds=2, seconds=2, tell=lambda _: None)
    assert [name for name, _ in runs] == ["a", "b", "c"] * 3
    assert len({label for _, label in runs}) == len(runs)
    assert [sample.cpu_seconds for sample in found["b"]] == [5, 8]


def test_what_the_load_generator_says_is_read() -> None:
    """The last line tells requests and how long they took."""
    told = 'noise\n\n{"requests": 10, "microseconds": 2000000, "broken": 0, "refused": 0, "late": 0}\n'
    assert wrk.read(told) == wrk.Load(requests=10, seconds=2.0)


@pytest.mark.parametrize("wrong", ["broken", "refused", "late"])
def test_one_failure_spoils_a_run(wrong: str) -> None:
    """An error costs something else than a success; its figure would be one of something else."""
    told = '{"requests": 10, "microseconds": 1, "broken": 0, "refused": 0, "late": 0}'
    with pytest.raises(RuntimeError, match=wrong):
        wrk.read(told.replace(f'"{wrong}": 0', f'"{wrong}": 1'))


def test_a_run_without_requests_is_none() -> None:
    """A server that answers nothing has no cost."""
    with pytest.raises(RuntimeError, match="of 0 requests"):
        wrk.read('{"requests": 0, "microseconds": 1, "broken": 0, "refused": 0, "late": 0}')


def test_the_file_system_is_the_nearest_mount() -> None:
    """The longest mount point above a path is the one that it lies on."""
    mounts = ["/dev/a / ext4 rw 0 0", "none /a tmpfs rw 0 0", "none /a/deep xfs rw 0 0"]
    assert machine.file_system(Path("/a/deep/er"), mounts) == "xfs"
    assert machine.file_system(Path("/a/deeper"), mounts) == "tmpfs"
    assert machine.file_system(Path("/b"), mounts) == "ext4"


def test_the_processor_is_named() -> None:
    """By the kernel's first line about it."""
    assert machine.processor(["vendor_id\t: Y", "model name\t: X 1", "model name\t: Z"]) == "X 1"
