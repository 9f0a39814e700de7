import os
from pathlib import Path

import pytest

from tests.performance import proc

LINE = "12 (a) S) (worker) S 7 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1000 10"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A /proc of four processes: 7 has the child 12, and that one 20; 9 is nobody of theirs."""
    for pid, parent, ticks in ((7, 1, 10), (12, 7, 100), (20, 12, 1000), (9, 1, 5)):
        (tmp_path / str(pid)).mkdir()
        line = f"{pid} (x) S {parent} " + "0 " * 9 + f"{ticks} {ticks} 0 0"
        (tmp_path / str(pid) / "stat").write_text(line)
    (tmp_path / "meminfo").write_text("")
    return tmp_path


def test_a_name_may_hold_brackets() -> None:
    """The second field of stat is a process's own choice; parent and times are counted from behind it."""
    assert proc.read_stat(LINE, 100) == proc.Stat(parent=7, cpu_seconds=3.0)


def test_a_family_is_a_process_and_all_below_it(tree: Path) -> None:
    """Grandchildren count, strangers do not; user and system time are added up."""
    hertz = os.sysconf("SC_CLK_TCK")
    assert proc.family(7, tree) == {7: 20 / hertz, 12: 200 / hertz, 20: 2000 / hertz}


def test_a_process_that_ends_while_it_is_read_is_left_out(tree: Path) -> None:
    """Between the listing and the reading a process may go."""
    (tree / "12" / "stat").unlink()
    assert list(proc.family(7, tree)) == [7]


def test_what_is_spent_is_the_difference() -> None:
    """Of all processes together."""
    assert proc.spent({1: 1.0, 2: 2.0}, {1: 1.5, 2: 4.0}) == 2.5


@pytest.mark.parametrize("after", [{1: 1.0}, {1: 1.0, 2: 1.0, 3: 1.0}, {1: 1.0, 4: 0.0}])
def test_a_worker_that_was_replaced_spoils_the_figure(after: dict[int, float]) -> None:
    """What the one that went had spent is unknown; a figure without it would flatter."""
    with pytest.raises(RuntimeError, match="came or went"):
        proc.spent({1: 1.0, 2: 1.0}, after)


def test_memory_in_mib(tmp_path: Path) -> None:
    """The kernel tells kibibytes."""
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "status").write_text("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n")
    assert (proc.memory_mib(5, proc=tmp_path), proc.memory_mib(5, "VmRSS", tmp_path)) == (2.0, 1.0)


def test_the_real_ones_are_read() -> None:
    """This very process has spent something, and stays within what it once held."""
    assert proc.family(os.getpid())[os.getpid()] > 0
    assert 0 < proc.memory_mib(os.getpid(), "VmRSS") <= proc.memory_mib(os.getpid()) + 1
