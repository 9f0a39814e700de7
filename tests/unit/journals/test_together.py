"""Changes that wait together are written together: one commit, and nobody pays for another's mistake."""

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
from gateway.journals.group_commit import Change
from gateway.journals.sqlite import SqliteJournal
from tests.unit.journals.records import a_claim


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "journal.db")
    journal.counts()
    yield journal
    journal.close()


@contextmanager
def waiting(journal: SqliteJournal, claims: list[Claim]) -> Iterator[list[Future[Any]]]:
    """Keep everybody waiting until all have come; then let them go."""
    link = journal._link()
    with ThreadPoolExecutor(len(claims)) as pool:
        with link.lock:
            told = [pool.submit(journal.claim, claim) for claim in claims]
            until = time.monotonic() + 10.0
            while len(link.waiting) < len(claims) and time.monotonic() < until:
                time.sleep(0.001)
            assert len(link.waiting) == len(claims)
        yield told


def test_one_commit_for_all(journal: SqliteJournal) -> None:
    """Twenty claims that wait are one transaction, and all of them are there."""
    said: list[str] = []
    connection = journal._link().connection
    assert connection is not None
    connection.set_trace_callback(said.append)
    with waiting(journal, [a_claim() for _ in range(20)]) as told:
        assert [each.result().match for each in told] == ["claimed"] * 20
    connection.set_trace_callback(None)
    assert [line for line in said if line in {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"}] == ["BEGIN IMMEDIATE", "COMMIT"]
    assert journal.counts()["sending"] == 20


def test_one_of_many_gets_the_name(journal: SqliteJournal) -> None:
    """In one commit too a name has one owner; the others are told who it is."""
    with waiting(journal, [a_claim(natural_key=("2", "same")) for _ in range(10)]) as told:
        claimed = [each.result() for each in told]
    assert sorted(each.match for each in claimed) == ["claimed"] + ["name"] * 9
    assert len({each.operation.claim.id for each in claimed}) == 1


def test_a_value_that_cannot_be_written_is_its_owners(journal: SqliteJournal) -> None:
    """Half a surrogate pair among twenty sound claims: that one fails, and nothing of the others is lost."""
    claims = [*(a_claim() for _ in range(19)), a_claim(worker_id="\ud800")]
    with waiting(journal, claims) as told:
        failed = [each for each in told if each.exception() is not None]
        assert [type(each.exception()) for each in failed] == [UnicodeEncodeError]
    assert journal.counts()["sending"] == 19


def test_a_disk_that_fails_fails_all(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written, each is told so, and nothing was."""

    def fail(_self: Any, statement: str, parameters: Any = (), /) -> Any:
        if statement.lstrip().startswith("INSERT"):
            raise sqlite3.OperationalError("database or disk is full")
        return sqlite3.Connection.execute(_self, statement, parameters)

    with monkeypatch.context() as broken:
        broken.setattr(sqlite_connection.RetryingConnection, "execute", fail)
        with waiting(journal, [a_claim() for _ in range(5)]) as told:
            assert {type(each.exception()) for each in told} == {JournalUnavailable}
    assert journal.counts()["sending"] == 0
    assert journal.claim(a_claim()).match == "claimed"


def test_who_wrote_for_all_was_interrupted(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose change was taken by a writer that died is told that it is not known to be written."""

    def die(*_arguments: Any) -> None:
        raise SystemExit  # as when a greenlet is killed

    link = journal._link()
    other = Change("SELECT 1", {})
    link.waiting.append(other)
    with monkeypatch.context() as broken:
        broken.setattr(journal, "_write", die)
        with pytest.raises(SystemExit):
            journal.claim(a_claim())
    assert not link.waiting
    with pytest.raises(JournalUnavailable, match="interrupted"):
        other.result()
    assert not link.lock.locked()
