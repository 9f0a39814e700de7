import os
from pathlib import Path

import pytest

from tests.performance import proc

LINE = "12 (a) S) (worker) S 7 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1000 10"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A /proc with four processes: 12 is a child of 7, 20 a child of 12; 9 is unrelated."""
    for pid, parent, ticks in ((7, 1, 10), (12, 7, 100), (20, 12, 1000), (9, 1, 5)):
        (tmp_path / str(pid)).mkdir()
        line = f"{pid} (x) S {parent} " + "0 " * 9 + f"{ticks} {ticks} 0 0"
        (tmp_path / str(pid) / "stat").write_text(line)
    (tmp_path / "meminfo").write_text("")
    return tmp_path


def test_process_name_with_parentheses() -> None:
    """The second field of stat is arbitrary text; the other fields are found after its last parenthesis."""
    assert proc.parse_stat(LINE, 100) == proc.Stat(parent=7, cpu_seconds=3.0)


def test_process_tree(tree: Path) -> None:
    """The tree has all descendants and no other process; user and system time are added."""
    hertz = os.sysconf("SC_CLK_TCK")
    assert proc.process_tree(7, tree) == {7: 20 / hertz, 12: 200 / hertz, 20: 2000 / hertz}


def test_process_that_ends_during_the_reading(tree: Path) -> None:
    """A process that ends after it was listed is left out."""
    (tree / "12" / "stat").unlink()
    assert list(proc.process_tree(7, tree)) == [7]


def test_cpu_used() -> None:
    """The result is the difference of the sums."""
    assert proc.cpu_used({1: 1.0, 2: 2.0}, {1: 1.5, 2: 4.0}) == 2.5


@pytest.mark.parametrize("after", [{1: 1.0}, {1: 1.0, 2: 1.0, 3: 1.0}, {1: 1.0, 4: 0.0}])
def test_replaced_worker_raises(after: dict[int, float]) -> None:
    """The CPU of the process that ended is unknown, and the result would be too low."""
    with pytest.raises(RuntimeError, match="ended or started"):
        proc.cpu_used({1: 1.0, 2: 1.0}, after)


def test_memory_mib(tmp_path: Path) -> None:
    """The kernel reports kibibytes."""
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "status").write_text("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n")
    assert (proc.memory_mib(5, proc=tmp_path), proc.memory_mib(5, "VmRSS", tmp_path)) == (2.0, 1.0)


def test_this_process() -> None:
    """This process has used CPU, and its memory is at most its maximum."""
    assert proc.process_tree(os.getpid())[os.getpid()] > 0
    assert 0 < proc.memory_mib(os.getpid(), "VmRSS") <= proc.memory_mib(os.getpid()) + 1
