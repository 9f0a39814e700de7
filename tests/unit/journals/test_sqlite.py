from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.journals import create_journal, queries, sqlite
from gateway.journals.sql import Parameters
from gateway.journals.sqlite import SqliteJournal
from tests.unit.journals.records import a_claim, sent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path)
    yield journal
    journal.close()


@pytest.fixture
def writer(path: Path, journal: SqliteJournal) -> Iterator[sqlite3.Connection]:
    """Another process's connection to the same file."""
    journal.counts()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


def test_every_commit_is_on_disk(journal: SqliteJournal) -> None:
    """The log is written ahead and synchronized at every commit; SQLite itself waits for nobody."""
    settings = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 0}
    assert {name: journal._read(f"PRAGMA {name}", {})[0][0] for name in settings} == settings


def in_the_file(path: Path) -> int:
    """Count the operations that the file alone holds, without what stands in the log beside it."""
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy)) as alone:
        try:
            return int(alone.execute("SELECT count(*) FROM operations").fetchone()[0])
        except sqlite3.OperationalError:  # not even the table
            return 0


def test_the_file_is_brought_up_to_date_while_nobody_waits(journal: SqliteJournal, path: Path) -> None:
    """After a hundred creates it is, so that no commit has to; for a few it is not worth waiting for the disk."""
    for number in range(199):
        journal.claim(a_claim(natural_key=("1", "2", f"name {number}")))
    journal.checkpoint()
    assert in_the_file(path) == 0
    journal.claim(a_claim(natural_key=("1", "2", "the last")))
    journal.checkpoint()
    assert in_the_file(path) == 200
    journal.claim(a_claim(natural_key=("1", "2", "one more")))
    journal.checkpoint()
    assert (in_the_file(path), journal.counts()["sending"]) == (200, 201)


def test_who_reads_keeps_nobody_from_tidying(
    journal: SqliteJournal, path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older reader may still need stays in the log; nobody waits for him, and nothing is lost."""
    monkeypatch.setattr(sqlite, "_CHECKPOINT_AFTER", 1)
    journal.claim(a_claim())
    writer.execute("BEGIN")
    assert writer.execute("SELECT count(*) FROM operations").fetchone() == (1,)
    journal.claim(a_claim(natural_key=("1", "2", "newer")))
    journal.checkpoint()
    writer.execute("COMMIT")
    journal.claim(a_claim(natural_key=("1", "2", "newest")))
    journal.checkpoint()
    assert in_the_file(path) == 3


def test_a_writer_in_the_way_is_waited_for(journal: SqliteJournal, writer: sqlite3.Connection) -> None:
    """A claim that meets another process's transaction is written when that is over."""
    writer.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.1, writer.execute, ["COMMIT"])
    timer.start()
    assert journal.claim(a_claim()).match == "claimed"
    timer.join()


def test_a_writer_that_stays_is_not(
    journal: SqliteJournal, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim waits only so long; reads go on meanwhile, and the next claim is written when the way is free."""
    journal.close()
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.05)
    claim = a_claim()
    journal.claim(claim)
    writer.execute("BEGIN IMMEDIATE")
    for change in (lambda: journal.claim(a_claim()), lambda: journal.lease_due("o", now=1, lease_seconds=1, limit=1)):
        with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: SQLITE_BUSY\.$"):
            change()
        assert journal.get(claim.id) == sent(claim)
    writer.execute("ROLLBACK")
    assert journal.claim(a_claim()).match == "claimed"


@pytest.mark.parametrize("hold", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_opening_waits_for_the_log(path: Path, hold: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file that another process holds is waited for, at every step of opening it; and not forever."""
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.1)
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute(hold)
    journal = SqliteJournal(path)
    with pytest.raises(JournalUnavailable, match="SQLITE_BUSY"):
        journal.counts()
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 2.0)
    timer = threading.Timer(0.1, holder.execute, ["COMMIT"])
    timer.start()
    assert sum(journal.counts().values()) == 0
    timer.join()
    journal.close()
    holder.close()


def test_a_file_that_is_none_of_ours(journal: SqliteJournal, path: Path) -> None:
    """A file of something else is left as it is, and once it is out of the way the journal works."""
    path.write_text("something else entirely, and long enough to be looked at. " * 40)
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: SQLITE_NOTADB\.$"):
            journal.claim(a_claim())
    path.unlink()
    assert journal.claim(a_claim()).match == "claimed"


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """A path through a file cannot be made; it can once the file is gone."""
    (tmp_path / "file").touch()
    journal = SqliteJournal(tmp_path / "file" / "journal.db")
    with pytest.raises(JournalUnavailable, match=r"^The journal's directory cannot be created\.$"):
        journal.claim(a_claim())
    (tmp_path / "file").unlink()
    assert journal.claim(a_claim()).match == "claimed"
    journal.close()


def test_a_useless_connection_is_replaced(journal: SqliteJournal) -> None:
    """A connection that fails for good costs one call, not all that follow."""
    claim = a_claim()
    journal.claim(claim)
    connection = journal._state().connection
    assert connection is not None
    connection.close()
    with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: misuse\.$"):
        journal.get(claim.id)
    assert journal.get(claim.id) == sent(claim)


def test_memory_outlives_a_failure() -> None:
    """What is in memory is not given up when a statement fails, for opening anew would lose it."""
    journal = SqliteJournal(None)
    claim = a_claim()
    journal.claim(claim)
    with pytest.raises(JournalUnavailable, match="SQLITE_ERROR"):
        journal._read("SELECT nonsense", {})
    assert journal.get(claim.id) == sent(claim)
    journal.close()


def test_threads_take_turns(journal: SqliteJournal) -> None:
    """Threads may use one journal, also those that did not open it; none loses a claim."""
    claims = [[a_claim() for _ in range(20)] for _ in range(8)]
    threads = [threading.Thread(target=lambda mine: [journal.claim(c) for c in mine], args=[mine]) for mine in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.counts()["sending"] == 160


class Haunted(SqliteJournal):
    """A journal in which names are taken when one writes and free when one looks."""

    def __init__(self, times: int) -> None:
        super().__init__(None)
        self.times = times

    def _execute_write(self, statement: str, parameters: Parameters) -> int:
        if statement == queries.CLAIM and self.times:
            self.times -= 1
            return 0
        return super()._execute_write(statement, parameters)


@pytest.mark.parametrize(("times", "written"), [(3, True), (1000, False)])
def test_a_rival_that_came_and_went(times: int, *, written: bool) -> None:
    """What stood in the way and is gone when it is looked at is no obstacle: try again, but not forever."""
    journal = Haunted(times)
    claim = a_claim()
    if written:
        assert journal.claim(claim).match == "claimed"
    else:
        with pytest.raises(JournalUnavailable, match="Too many operations"):
            journal.claim(claim)
    assert (journal.get(claim.id) is not None) == written
    journal.close()


def test_a_file_that_was_moved_is_not_written_on(tmp_path: Path) -> None:
    """A file renamed or deleted under a process is refused, not written to unseen; put back, it is used again."""
    path = tmp_path / "journal.db"
    with closing(create_journal(f"sqlite:///{path}")) as journal:
        assert journal.claim(a_claim()).match == "claimed"
        moved = path.rename(tmp_path / "elsewhere.db")
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="moved or deleted"):
                journal.counts()
        path.write_bytes(b"")
        with pytest.raises(JournalUnavailable, match="moved or deleted"):
            journal.counts()
        moved.rename(path)
        assert journal.counts()["sending"] == 1
