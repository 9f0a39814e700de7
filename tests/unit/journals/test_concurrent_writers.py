from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.journals import create_journal
from tests.unit.journals.records import make_claim

ROOT = Path(__file__).parents[3]


class Writer:
    """Another process that uses a journal, with gevent's patches or not; see concurrent_writers.py."""

    def __init__(self, task: str, url: str, patches: Sequence[str] = ()) -> None:
        command = [sys.executable, "-m", *patches, "tests.unit.journals.concurrent_writers", task, url]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def send_line(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> list[str]:
        """Kill the process, and return what it reported and was not read yet."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.stdout
        return [json.loads(line) for line in self.process.stdout]


Start = Callable[..., list[Writer]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes whose tasks start together when all are ready."""
    writers: list[Writer] = []

    def start_together(task: str, url: str, number: int = 1, patches: Sequence[str] = ()) -> list[Writer]:
        started = [Writer(task, url, patches) for _ in range(number)]
        writers.extend(started)
        assert [writer.read() for writer in started] == ["ready"] * number
        for writer in started:
            writer.send_line()
        return started

    yield start_together
    for writer in writers:
        with writer.process as process:
            process.kill()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="journal-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


def test_one_claim_succeeds(shared_url: str, start: Start) -> None:
    """Of 40 threads in two processes that claim the same name at the same time, one succeeds."""
    matches = [match for writer in start("claim", shared_url, 2) for match in writer.read()]
    assert Counter(matches) == {"claimed": 1, "name": 39}


def test_each_operation_is_leased_once(shared_url: str, start: Start) -> None:
    """Of 50 operations that two processes lease, each is leased by one of them."""
    journal = create_journal(shared_url)
    ids = [journal.claim(make_claim()).operation.claim.id for _ in range(50)]
    journal.close()
    leased = [key for writer in start("lease", shared_url, 2) for key in writer.read()]
    assert sorted(leased) == sorted(ids)


def test_schema_is_created_once(shared_url: str, start: Start) -> None:
    """Four processes that open a new journal at the same time all succeed."""
    assert [writer.read() for writer in start("count", shared_url, 4)] == [0, 0, 0, 0]


def test_fork_has_its_own_connection(shared_url: str, start: Start) -> None:
    """A child process opens and closes its own connection; its parent's still works."""
    (writer,) = start("fork", shared_url)
    assert writer.read() == ["claimed", 2]
    assert writer.read() == ["claimed", "claimed", 3]


@pytest.mark.loopback
def test_greenlets_are_not_blocked(postgres_url: str, start: Start) -> None:
    """Under gevent one of 50 greenlets claims the name, and other greenlets run while the database is blocked."""
    (writer,) = start("greenlets", postgres_url, patches=("gevent.monkey", "--module"))
    claimed, refused, ticks = writer.read()
    assert (claimed, refused) == (1, 49)
    assert ticks >= 10


@pytest.mark.parametrize(("task", "number"), [("claims", 1), ("checkpoints", 1), ("checkpoints", 2)])
def test_written_claims_survive_a_kill(sqlite_url: str, start: Start, task: str, number: int) -> None:
    """A process killed during claims or checkpoints loses no claim that it reported; three times in a row."""
    reported: list[str] = []
    for _ in range(3):
        writers = start(task, sqlite_url, number)
        reported += [writer.read() for writer in writers for _ in range(150)]
        for writer in writers:
            reported += writer.kill()
    journal = create_journal(sqlite_url)
    assert [key for key in reported if journal.get(key) is None] == []
    written = sum(journal.counts().values())
    assert written - len(reported) in range(3 * number + 1)  # written, and killed before the report
    journal.close()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_copy_of_a_running_journal_opens(sqlite_url: str, tmp_path: Path, start: Start) -> None:
    """File and log, copied in this order while claims are written, contain every claim reported before the copy."""
    (writer,) = start("few", sqlite_url)
    reported = [writer.read() for _ in range(30)]
    source = Path(sqlite_url.removeprefix("sqlite:///"))
    for suffix in ("", "-wal"):
        shutil.copy(f"{source}{suffix}", f"{tmp_path}/copy.db{suffix}")
    assert writer.process.poll() is None
    journal = create_journal(f"sqlite:///{tmp_path}/copy.db")
    assert [key for key in reported if journal.get(key) is None] == []
    journal.close()
    connection = sqlite3.connect(tmp_path / "copy.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.parametrize(
    ("file", "mode", "error"),
    [
        ("existing/journal.db", 0o777, "The journal cannot be used: SQLITE_READONLY."),
        ("journal.db", 0o555, "The journal cannot be used: SQLITE_CANTOPEN."),
        ("new/journal.db", 0o555, "The journal's directory cannot be created."),
        ("journal.db", 0o700, "The journal cannot be used: SQLITE_CANTOPEN."),
    ],
)
def test_missing_permissions(open_folder: Path, start: Start, file: str, mode: int, error: str) -> None:
    """A read-only file or folder, or one without access, makes claims fail until the permissions are granted."""
    home = open_folder / "home"
    path = home / file
    (home / "existing").mkdir(parents=True)
    if path.parent.exists() and path.parent != home:
        journal = create_journal(f"sqlite:///{path}")
        journal.counts()
        journal.close()
        path.chmod(0o444)
        path.parent.chmod(mode)
    home.chmod(mode)
    (writer,) = start("unprivileged", f"sqlite:///{path}")
    assert writer.read() == error
    home.chmod(0o777)
    for file_path in (home / "existing").iterdir():  # SQLite gives the log the permissions of the file
        file_path.chmod(0o666)
    writer.send_line()
    assert writer.read() == "claimed"


def test_full_disk(sqlite_url: str, start: Start) -> None:
    """At the size limit of the file a claim fails; without the limit the next one is written, and none is lost."""
    (writer,) = start("disk_full", sqlite_url)
    error, match_afterwards, earlier_claims = writer.read()
    assert error in {"The journal cannot be used: SQLITE_FULL.", "The journal cannot be used: SQLITE_IOERR_WRITE."}
    assert (match_afterwards, earlier_claims) == ("claimed", 2)
