from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.journals import create_journal, sqlite
from gateway.journals.sql_changes import Parameters
from gateway.journals.sqlite import SqliteJournal
from tests.unit.journals.records import make_claim, sending_operation


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
    """A second connection to the same file, as another process has it."""
    journal.counts()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


def test_every_commit_is_on_disk(journal: SqliteJournal) -> None:
    """The write-ahead log is synchronized at every commit; SQLite's own busy timeout is off."""
    settings = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 0}
    assert {name: journal.read(f"PRAGMA {name}", {})[0][0] for name in settings} == settings


def count_in_main_file(path: Path) -> int:
    """Count the operations in the database file without the write-ahead log."""
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM operations").fetchone()[0])
        except sqlite3.OperationalError:  # the table is still in the log
            return 0


def test_checkpoint_threshold(journal: SqliteJournal, path: Path) -> None:
    """After 200 changes (100 creates) it copies the log, so that no commit has to; fewer are not worth the wait."""
    for number in range(199):
        journal.claim(make_claim(natural_key=("1", "2", f"name {number}")))
    journal.checkpoint()
    assert count_in_main_file(path) == 0
    journal.claim(make_claim(natural_key=("1", "2", "the last")))
    journal.checkpoint()
    assert count_in_main_file(path) == 200
    journal.claim(make_claim(natural_key=("1", "2", "one more")))
    journal.checkpoint()
    assert (count_in_main_file(path), journal.counts()["sending"]) == (200, 201)


def test_claim_does_not_read_the_table(journal: SqliteJournal, path: Path) -> None:
    """The number of an operation is read from two indexes, so that a claim takes as long in a large journal."""
    journal.counts()
    with closing(sqlite3.connect(path)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN SELECT {SqliteJournal.next_number}")]
    assert [line for line in plan if line.startswith(("SCAN", "SEARCH")) and "CONSTANT" not in line] == [
        "SEARCH operations USING COVERING INDEX operations_number (number>?)",
        "SEARCH met USING COVERING INDEX met_last_number (last_number>?)",
    ]


def test_checkpoint_does_not_wait_for_readers(
    journal: SqliteJournal, path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that an open read transaction needs stay in the log; the checkpoint does not wait, and nothing is lost."""
    monkeypatch.setattr(sqlite, "_CHECKPOINT_AFTER", 1)
    journal.claim(make_claim())
    writer.execute("BEGIN")
    assert writer.execute("SELECT count(*) FROM operations").fetchone() == (1,)
    journal.claim(make_claim(natural_key=("1", "2", "newer")))
    journal.checkpoint()
    writer.execute("COMMIT")
    journal.claim(make_claim(natural_key=("1", "2", "newest")))
    journal.checkpoint()
    assert count_in_main_file(path) == 3


def test_claim_waits_for_another_writer(journal: SqliteJournal, writer: sqlite3.Connection) -> None:
    """A claim is written when another process's transaction ends."""
    writer.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.1, writer.execute, ["COMMIT"])
    timer.start()
    assert journal.claim(make_claim()).match == "claimed"
    timer.join()


def test_claim_fails_after_the_busy_timeout(
    journal: SqliteJournal, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes fail after the busy timeout while reads succeed; the next claim succeeds when the lock is released."""
    journal.close()
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.05)
    claim = make_claim()
    journal.claim(claim)
    writer.execute("BEGIN IMMEDIATE")
    for write in (lambda: journal.claim(make_claim()), lambda: journal.expire(settled_before=1.0, limit=1)):
        with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: SQLITE_BUSY\.$"):
            write()
        assert journal.get(claim.id) == sending_operation(claim)
    writer.execute("ROLLBACK")
    assert journal.claim(make_claim()).match == "claimed"


@pytest.mark.parametrize("lock_statement", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_opening_waits_for_another_process(path: Path, lock_statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of opening a file that another process has locked waits, up to the busy timeout."""
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 0.1)
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute(lock_statement)
    journal = SqliteJournal(path)
    with pytest.raises(JournalUnavailable, match="SQLITE_BUSY"):
        journal.counts()
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT", 2.0)
    timer = threading.Timer(0.1, locker.execute, ["COMMIT"])
    timer.start()
    assert sum(journal.counts().values()) == 0
    timer.join()
    journal.close()
    locker.close()


def test_file_that_is_not_a_database(journal: SqliteJournal, path: Path) -> None:
    """A file that is not a SQLite database is refused; after it was deleted the journal works."""
    path.write_text("not a database, but long enough for SQLite to read a header. " * 40)
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: SQLITE_NOTADB\.$"):
            journal.claim(make_claim())
    path.unlink()
    assert journal.claim(make_claim()).match == "claimed"


def test_directory_cannot_be_created(tmp_path: Path) -> None:
    """A path through a regular file fails; after the file was deleted the journal works."""
    (tmp_path / "file").touch()
    journal = SqliteJournal(tmp_path / "file" / "journal.db")
    with pytest.raises(JournalUnavailable, match=r"^The journal's directory cannot be created\.$"):
        journal.claim(make_claim())
    (tmp_path / "file").unlink()
    assert journal.claim(make_claim()).match == "claimed"
    journal.close()


@pytest.mark.parametrize("attribute", ["reader", "writer"])
def test_broken_connection_is_replaced(journal: SqliteJournal, attribute: str) -> None:
    """A closed connection makes one call fail; the next call opens a new one."""
    claim = make_claim()
    journal.claim(claim)
    assert journal.get(claim.id) == sending_operation(claim)
    getattr(journal._state(), attribute).close()
    with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: misuse\.$"):
        journal.get(claim.id) if attribute == "reader" else journal.claim(make_claim())
    assert journal.get(claim.id) == sending_operation(claim)
    assert journal.claim(make_claim()).match == "claimed"


def test_journal_in_memory_survives_a_failed_statement() -> None:
    """After a failed statement the connection of a journal in memory is kept, because a new one would be empty."""
    journal = SqliteJournal(None)
    claim = make_claim()
    journal.claim(claim)
    with pytest.raises(JournalUnavailable, match="SQLITE_ERROR"):
        journal.read("SELECT nonsense", {})
    assert journal.get(claim.id) == sending_operation(claim)
    journal.close()


def test_concurrent_threads(journal: SqliteJournal) -> None:
    """Several threads use one journal, also threads that did not open it; no claim is lost."""
    batches = [[make_claim() for _ in range(20)] for _ in range(8)]
    threads = [
        threading.Thread(target=lambda batch: [journal.claim(c) for c in batch], args=[batch]) for batch in batches
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.counts()["sending"] == 160


class JournalWithPhantomConflicts(SqliteJournal):
    """A journal whose claims conflict when they are written, without a conflicting operation to be found."""

    def __init__(self, times: int) -> None:
        super().__init__(None)
        self.times = times

    def execute_write(self, statement: str, parameters: Parameters, seconds: float = math.inf) -> int:
        if "INSERT INTO operations" in statement and self.times:
            self.times -= 1
            return 0
        return super().execute_write(statement, parameters, seconds)


@pytest.mark.parametrize(("times", "written"), [(3, True), (1000, False)])
def test_conflict_that_disappears(times: int, *, written: bool) -> None:
    """A claim whose conflicting operation disappeared is retried a limited number of times."""
    journal = JournalWithPhantomConflicts(times)
    claim = make_claim()
    if written:
        assert journal.claim(claim).match == "claimed"
    else:
        with pytest.raises(JournalUnavailable, match="Too many operations"):
            journal.claim(claim)
    assert (journal.get(claim.id) is not None) == written
    journal.close()


def test_moved_file_is_refused(tmp_path: Path) -> None:
    """A file renamed or deleted while the journal is open is refused, and used again when it is moved back."""
    path = tmp_path / "journal.db"
    with closing(create_journal(f"sqlite:///{path}")) as journal:
        assert journal.claim(make_claim()).match == "claimed"
        moved = path.rename(tmp_path / "elsewhere.db")
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="moved or deleted"):
                journal.counts()
        path.write_bytes(b"")
        with pytest.raises(JournalUnavailable, match="moved or deleted"):
            journal.counts()
        moved.rename(path)
        assert journal.counts()["sending"] == 1


def test_reader_is_kept_when_the_file_is_locked(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another process holds is no reason to open the file again."""
    journal.counts()
    reader = journal._state().reader
    monkeypatch.setattr(sqlite, "is_busy", lambda _error: True)
    with pytest.raises(JournalUnavailable):
        journal.read("SELECT nonsense", {})
    assert journal._state().reader is reader
