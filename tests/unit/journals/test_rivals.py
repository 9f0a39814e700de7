from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.journals import create_journal
from tests.unit.journals.records import a_claim

ROOT = Path(__file__).parents[3]


class Rival:
    """Another process at a journal; see rivals.py."""

    def __init__(self, what: str, url: str) -> None:
        command = [sys.executable, "-m", "tests.unit.journals.rivals", what, url]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def nudge(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> list[str]:
        """Kill it, and return all that it had said and nobody had heard."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.stdout
        return [json.loads(line) for line in self.process.stdout]


Start = Callable[..., list[Rival]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start rivals; they begin together when all are there."""
    rivals: list[Rival] = []

    def all_at_once(what: str, url: str, number: int = 1) -> list[Rival]:
        started = [Rival(what, url) for _ in range(number)]
        rivals.extend(started)
        assert [rival.hear() for rival in started] == ["ready"] * number
        for rival in started:
            rival.nudge()
        return started

    yield all_at_once
    for rival in rivals:
        with rival.process as process:
            process.kill()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="journal-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


def test_one_of_many_gets_the_name(shared_url: str, start: Start) -> None:
    """Of 40 threads in two processes that claim the same name at the same time, one gets it."""
    standings = [match for rival in start("claim", shared_url, 2) for match in rival.hear()]
    assert Counter(standings) == {"claimed": 1, "name": 39}


def test_what_is_due_is_taken_once(shared_url: str, start: Start) -> None:
    """Of 50 operations that two processes take, each is taken by one of them."""
    journal = create_journal(shared_url)
    ids = [journal.claim(a_claim()).operation.claim.id for _ in range(50)]
    journal.close()
    taken = [taken for rival in start("take", shared_url, 2) for taken in rival.hear()]
    assert sorted(taken) == sorted(ids)


def test_the_first_of_several_makes_the_schema(shared_url: str, start: Start) -> None:
    """Four processes that open a new journal at the same time find one, all of them."""
    assert [rival.hear() for rival in start("count", shared_url, 4)] == [0, 0, 0, 0]


def test_a_fork_has_its_own_connection(shared_url: str, start: Start) -> None:
    """A child opens its own connection and closes that one only: its parent goes on."""
    (rival,) = start("fork", shared_url)
    assert rival.hear() == ["claimed", 2]
    assert rival.hear() == ["claimed", "claimed", 3]


@pytest.mark.parametrize(("what", "number"), [("claims", 1), ("tidying", 1), ("tidying", 2)])
def test_what_was_told_survives_a_kill(sqlite_url: str, start: Start, what: str, number: int) -> None:
    """Who is killed in the middle of his claims, or of tidying, has lost none that he had told; three times over."""
    told: list[str] = []
    for _ in range(3):
        rivals = start(what, sqlite_url, number)
        told += [rival.hear() for rival in rivals for _ in range(150)]
        for rival in rivals:
            told += rival.kill()
    journal = create_journal(sqlite_url)
    assert [key for key in told if journal.get(key) is None] == []
    written = sum(journal.counts().values())
    assert written - len(told) in range(3 * number + 1)  # written, and killed before it was told
    journal.close()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_copy_of_a_running_journal_opens(sqlite_url: str, tmp_path: Path, start: Start) -> None:
    """File and log, copied in this order while claims are written, hold every claim told before the copy."""
    (rival,) = start("few", sqlite_url)
    told = [rival.hear() for _ in range(30)]
    source = Path(sqlite_url.removeprefix("sqlite:///"))
    for end in ("", "-wal"):
        shutil.copy(f"{source}{end}", f"{tmp_path}/copy.db{end}")
    assert rival.process.poll() is None
    journal = create_journal(f"sqlite:///{tmp_path}/copy.db")
    assert [key for key in told if journal.get(key) is None] == []
    journal.close()
    connection = sqlite3.connect(tmp_path / "copy.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.parametrize(
    ("file", "folder", "says"),
    [
        ("made/journal.db", 0o777, "The journal cannot be used: SQLITE_READONLY."),
        ("journal.db", 0o555, "The journal cannot be used: SQLITE_CANTOPEN."),
        ("new/journal.db", 0o555, "The journal's folder cannot be made."),
        ("journal.db", 0o700, "The journal cannot be used: SQLITE_CANTOPEN."),
    ],
)
def test_who_may_not_write_claims_nothing(open_folder: Path, start: Start, file: str, folder: int, says: str) -> None:
    """A file that is read-only, a folder where none can be made, one that cannot be entered: until that is mended."""
    home = open_folder / "home"
    path = home / file
    (home / "made").mkdir(parents=True)
    if path.parent.exists() and path.parent != home:
        journal = create_journal(f"sqlite:///{path}")
        journal.counts()
        journal.close()
        path.chmod(0o444)
        path.parent.chmod(folder)
    home.chmod(folder)
    (rival,) = start("stranger", f"sqlite:///{path}")
    assert rival.hear() == says
    home.chmod(0o777)
    for left in (home / "made").iterdir():  # SQLite gives the log the permissions of the file
        left.chmod(0o666)
    rival.nudge()
    assert rival.hear() == "claimed"


def test_a_full_disk_takes_nothing_and_loses_nothing(sqlite_url: str, start: Start) -> None:
    """When a file may grow no further a claim is refused; with more room the next one is written, and all are there."""
    (rival,) = start("full", sqlite_url)
    said, after, others = rival.hear()
    assert said in {"The journal cannot be used: SQLITE_FULL.", "The journal cannot be used: SQLITE_IOERR_WRITE."}
    assert (after, others) == ("claimed", 2)
