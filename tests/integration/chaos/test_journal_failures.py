from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.caller import Wanted, create
from tests.integration.chaos.http import Answer, ask
from tests.integration.chaos.stand import Shape, Stand, eventually, match

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

SHAPE = Shape(workers=1, deadline=3.0)


class Breakage(Protocol):
    """A way for a journal to fail, and to be mended while the gateway runs."""

    stand: Stand

    def break_(self) -> None: ...

    def mend(self) -> None: ...


class LockedFile:
    """Another process keeps the SQLite file from being written, as a backup may."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stand = stack.enter_context(match(folder, SHAPE))
        database = sqlite3.connect(folder / "journal" / "journal.db", isolation_level=None, check_same_thread=False)
        self._other = stack.enter_context(closing(database))

    def break_(self) -> None:
        assert eventually(lambda: self._tries("BEGIN IMMEDIATE"), 5)

    def mend(self) -> None:
        self._other.execute("ROLLBACK")

    def _tries(self, statement: str) -> bool:
        try:
            self._other.execute(statement)
        except sqlite3.OperationalError:
            return False
        return True


class StoppedServer:
    """PostgreSQL was stopped, and is started again."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._server = stack.enter_context(database.server())
        self.stand = stack.enter_context(match(folder, SHAPE, database.new_database(self._server)))

    def break_(self) -> None:
        database.stop(self._server)

    def mend(self) -> None:
        self._server.ensure_postgres_running()


@pytest.fixture(params=[LockedFile, StoppedServer])
def breakage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Breakage]:
    """A stand, and what can happen to its journal."""
    with ExitStack() as stack:
        yield request.param(stack, tmp_path / "stand")


def _create(stand: Stand, name: str) -> Answer:
    wanted = Wanted("cmdb", name)
    return ask(stand.addresses[0], "POST", "/modules", wanted.body, wanted.headers)


def _is_closed_fast(answer: Answer) -> bool:
    return (answer.status, answer.code, answer.outcome) == (503, "journal_unavailable", "not_applied")


def test_without_a_journal_nothing_is_created(breakage: Breakage) -> None:
    """Creates are refused before anything is sent, reads go on, and creates work again without a restart."""
    stand = breakage.stand
    assert _create(stand, "before").status == 201
    breakage.break_()
    assert eventually(lambda: _is_closed_fast(_create(stand, "meanwhile")), 5)
    assert _is_closed_fast(_create(stand, "meanwhile"))
    assert stand.sent("cmdb", "meanwhile") == 0
    read = ask(stand.addresses[0], "GET", "/modules?backend=cmdb&scope=1&parent=10")
    assert [module["name"] for module in read.body["modules"]] == ["before"]
    breakage.mend()
    assert eventually(lambda: _create(stand, "meanwhile").status == 201, 10)
    assert stand.sent("cmdb", "meanwhile") == 1
    assert _create(stand, "before").headers["Idempotency-Replayed"] == "true"


def test_what_was_in_flight_is_settled_afterwards(breakage: Breakage) -> None:
    """A create whose result could not be written down is found by looking, and its caller told of it."""
    stand = breakage.stand
    stand.fault("cmdb", {"fault": "delay", "seconds": 1.0})
    wanted = Wanted("cmdb", "in-flight")
    with ThreadPoolExecutor(1) as pool:
        story = pool.submit(create, stand.addresses, wanted)
        assert eventually(lambda: stand.sent("cmdb", wanted.name) == 1, 10)
        breakage.break_()
        assert eventually(lambda: stand.creates_of("cmdb", wanted.name) == 1, 10)
        assert eventually(lambda: _is_closed_fast(_create(stand, "meanwhile")), 5)
        breakage.mend()
        told = story.result()
    assert stand.settles()
    assert told.final is not None
    assert told.final.status == 201
    assert (stand.sent("cmdb", wanted.name), stand.creates_of("cmdb", wanted.name)) == (1, 1)


def test_waiting_for_the_journal_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """While creates wait for a locked SQLite file, a read through the same worker is answered before any of them."""
    with ExitStack() as stack:
        breakage = LockedFile(stack, tmp_path / "stand")
        breakage.break_()
        pool = stack.enter_context(ThreadPoolExecutor(5))
        creates = [pool.submit(_create, breakage.stand, f"module-{number}") for number in range(5)]
        assert ask(breakage.stand.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
        assert not any(create.done() for create in creates)
        assert all(_is_closed_fast(create.result()) for create in creates)
        breakage.mend()


def test_a_journal_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    """A folder in the place of the journal's file stops creates and no reads; once it is gone, creates work."""
    (in_the_way := tmp_path / "stand" / "journal" / "journal.db").mkdir(parents=True)
    with match(tmp_path / "stand", SHAPE) as stand:
        assert _is_closed_fast(_create(stand, "one"))
        assert stand.sent("cmdb") == 0
        assert ask(stand.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
        in_the_way.rmdir()
        assert _create(stand, "one").status == 201


def test_a_full_disk_stops_creates_and_no_reads(tmp_path: Path) -> None:
    """Where the journal's file cannot grow, creates are refused unsent once it is full; no answer is belied by it."""
    limit = "ulimit -f 400"  # of 512 bytes, each file: a few dozen operations fit
    with match(tmp_path / "stand", Shape(workers=1, deadline=5.0, hard=5.0, limit=limit)) as stand:
        answers = [_create(stand, f"module-{number}") for number in range(150)]
        made = [answer for answer in answers if answer.status == 201]
        assert 0 < len(made) < len(answers)
        assert all(_is_closed_fast(answer) for answer in answers if answer.status != 201)
        assert {answer.body["native_id"] for answer in made} == {str(each["id"]) for each in stand.created("cmdb")}
        assert stand.sent("cmdb") == len(made)
        assert ask(stand.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
