"""Pending statements are committed together; an invalid one fails alone."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.domain.operation import Claim
from gateway.journals import sqlite, sqlite_connection
from gateway.journals.sqlite import SqliteJournal
from gateway.journals.sqlite_writer import WriteTask
from tests.unit.journals.records import make_claim, make_settlement, sending_operation


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "journal.db")
    journal.counts()
    yield journal
    journal.close()


@contextmanager
def busy_thread(journal: SqliteJournal) -> Iterator[None]:
    """Keep the writer thread busy, as a slow disk does."""
    started, release = threading.Event(), threading.Event()

    def work(_connection: object) -> None:
        started.set()
        release.wait(20.0)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(journal._run, work)
        assert started.wait(20.0)
        try:
            yield
        finally:
            release.set()
        with suppress(JournalUnavailable):
            future.result()


@contextmanager
def pending(journal: SqliteJournal, claims: list[Claim]) -> Iterator[list[Future[Any]]]:
    """Keep the writer thread busy until all claims are pending."""
    queue = journal._state().thread._pending
    with ThreadPoolExecutor(len(claims)) as pool:
        with busy_thread(journal):
            futures = [pool.submit(journal.claim, claim) for claim in claims]
            assert eventually(lambda: len(queue) == len(claims), 10.0)
        yield futures


def test_one_commit_for_all(journal: SqliteJournal) -> None:
    """Twenty pending claims are written in one transaction."""
    statements: list[str] = []
    journal._run(lambda connection: connection.set_trace_callback(statements.append))
    with pending(journal, [make_claim() for _ in range(20)]) as futures:
        assert [future.result().match for future in futures] == ["claimed"] * 20
    journal._run(lambda connection: connection.set_trace_callback(None))
    transaction = [line for line in statements if line in {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"}]
    assert transaction == ["BEGIN IMMEDIATE", "COMMIT"]
    assert journal.counts()["sending"] == 20


def test_reads_do_not_wait_for_the_writer(journal: SqliteJournal) -> None:
    """While the writer thread waits for the disk, reads return what was committed before."""
    claim = make_claim()
    journal.claim(claim)
    with busy_thread(journal):
        assert journal.get(claim.id) == sending_operation(claim)
        assert journal.counts()["sending"] == 1
        assert journal.next_due() == claim.lease_until


def test_a_claim_that_waits_too_long_is_never_written(journal: SqliteJournal) -> None:
    """A claim fails when its time is over, while the thread is still busy; if it has not begun, it never begins."""
    claim = make_claim()
    with busy_thread(journal):
        with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: timeout\.$"):
            journal.claim(claim, 0.05)
        assert not journal._state().thread._pending
    journal.checkpoint()
    assert journal.claim(make_claim()).match == "claimed"
    assert journal.get(claim.id) is None


def test_a_claim_that_was_abandoned_in_its_group_is_not_written(journal: SqliteJournal) -> None:
    """A task of a group whose caller has given up before the thread begins is left out."""
    task = WriteTask(lambda _connection: pytest.fail("was run"), deadline=0.0, shares_commit=True)
    task.is_abandoned = True
    journal._run_group(journal._state(), [task])
    assert not task.is_done


def test_a_result_is_written_late(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settlement whose caller has given up is written as soon as the disk answers: the name becomes free."""
    claim = make_claim()
    journal.claim(claim)
    with monkeypatch.context() as patch, busy_thread(journal):
        patch.setattr(sqlite, "_BUSY_TIMEOUT", 0.0)
        with pytest.raises(JournalUnavailable, match="timeout"):
            journal.settle(claim.id, make_settlement())
    assert eventually(lambda: journal.counts()["succeeded"] == 1, 10.0)


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds; return False after a timeout."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    return condition()


def test_one_claim_succeeds(journal: SqliteJournal) -> None:
    """In one commit too, one claim of a name succeeds; the others return its operation."""
    with pending(journal, [make_claim(natural_key=("2", "same")) for _ in range(10)]) as futures:
        results = [future.result() for future in futures]
    assert sorted(result.match for result in results) == ["claimed"] + ["name"] * 9
    assert len({result.operation.claim.id for result in results}) == 1


def test_invalid_value(journal: SqliteJournal) -> None:
    """Of twenty claims, the one with an unpaired surrogate fails, and the others are written."""
    claims = [*(make_claim() for _ in range(19)), make_claim(worker_id="\ud800")]
    with pending(journal, claims) as futures:
        failed = [future for future in futures if future.exception() is not None]
        assert [type(future.exception()) for future in failed] == [UnicodeEncodeError]
    assert journal.counts()["sending"] == 19


def test_write_error(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing can be written, every statement fails and nothing is written."""

    def fail(_self: Any, statement: str, parameters: Any = (), /) -> Any:
        if statement.lstrip().startswith("INSERT"):
            raise sqlite3.OperationalError("database or disk is full")
        return sqlite3.Connection.execute(_self, statement, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_connection.RetryingConnection, "execute", fail)
        with pending(journal, [make_claim() for _ in range(5)]) as futures:
            assert {type(future.exception()) for future in futures} == {JournalUnavailable}
    assert journal.counts()["sending"] == 0
    assert journal.claim(make_claim()).match == "claimed"


def test_interrupted_commit(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that the thread took and did not finish fails: it is not known whether it was written."""

    def die(*_arguments: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(journal._state().thread, "_run_group", die)
        with pytest.raises(JournalUnavailable, match="interrupted"):
            journal.claim(make_claim())
    assert journal.claim(make_claim()).match == "claimed"
