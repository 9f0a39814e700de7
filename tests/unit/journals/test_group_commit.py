"""Pending statements are committed together; an invalid one fails alone."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.domain.operation import Claim
from gateway.journals import sqlite_connection
from gateway.journals.sqlite import SqliteJournal
from gateway.journals.sqlite_connection import PendingStatement
from tests.unit.journals.records import make_claim


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "journal.db")
    journal.counts()
    yield journal
    journal.close()


@contextmanager
def pending(journal: SqliteJournal, claims: list[Claim]) -> Iterator[list[Future[Any]]]:
    """Hold the lock until all claims are pending, then release it."""
    state = journal._state()
    with ThreadPoolExecutor(len(claims)) as pool:
        with state.lock:
            futures = [pool.submit(journal.claim, claim) for claim in claims]
            deadline = time.monotonic() + 10.0
            while len(state.pending) < len(claims) and time.monotonic() < deadline:
                time.sleep(0.001)
            assert len(state.pending) == len(claims)
        yield futures


def test_one_commit_for_all(journal: SqliteJournal) -> None:
    """Twenty pending claims are written in one transaction."""
    statements: list[str] = []
    connection = journal._state().connection
    assert connection is not None
    connection.set_trace_callback(statements.append)
    with pending(journal, [make_claim() for _ in range(20)]) as futures:
        assert [future.result().match for future in futures] == ["claimed"] * 20
    connection.set_trace_callback(None)
    transaction = [line for line in statements if line in {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"}]
    assert transaction == ["BEGIN IMMEDIATE", "COMMIT"]
    assert journal.counts()["sending"] == 20


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
    """A statement taken by a thread that died in the commit fails: it is not known whether it was written."""

    def die(*_arguments: Any) -> None:
        raise SystemExit  # as when a greenlet is killed

    state = journal._state()
    statement = PendingStatement("SELECT 1", {})
    state.pending.append(statement)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_commit_group", die)
        with pytest.raises(SystemExit):
            journal.claim(make_claim())
    assert not state.pending
    with pytest.raises(JournalUnavailable, match="interrupted"):
        statement.result()
    assert not state.lock.locked()
