from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.caller import CreateSpec, create
from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually, run_testbed
from tests.integration.http_client import HttpResponse, send

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

TOPOLOGY = Topology(workers=1, deadline=3.0)


class JournalFailure(Protocol):
    """A journal that can fail and recover while the gateway runs."""

    testbed: GatewayTestbed

    def start(self) -> None: ...

    def stop(self) -> None: ...


class LockedFile:
    """Another process locks the SQLite file for writing, as a backup may."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.testbed = stack.enter_context(run_testbed(folder, TOPOLOGY))
        connection = sqlite3.connect(folder / "journal" / "journal.db", isolation_level=None, check_same_thread=False)
        self._lock = stack.enter_context(closing(connection))

    def start(self) -> None:
        assert eventually(lambda: self._try_execute("BEGIN IMMEDIATE"), 5)

    def stop(self) -> None:
        self._lock.execute("ROLLBACK")

    def _try_execute(self, statement: str) -> bool:
        try:
            self._lock.execute(statement)
        except sqlite3.OperationalError:
            return False
        return True


class StoppedServer:
    """PostgreSQL is stopped, and started again."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._server = stack.enter_context(database.server())
        self.testbed = stack.enter_context(run_testbed(folder, TOPOLOGY, database.new_database(self._server)))

    def start(self) -> None:
        database.stop(self._server)

    def stop(self) -> None:
        self._server.ensure_postgres_running()


@pytest.fixture(params=[LockedFile, StoppedServer])
def failure(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JournalFailure]:
    """A testbed whose journal can fail."""
    with ExitStack() as stack:
        yield request.param(stack, tmp_path / "testbed")


def _create(testbed: GatewayTestbed, name: str) -> HttpResponse:
    spec = CreateSpec("cmdb", name)
    return send(testbed.addresses[0], "POST", "/modules", spec.body, spec.headers)


def _is_unavailable(response: HttpResponse) -> bool:
    return (response.status, response.code, response.outcome) == (503, "journal_unavailable", "not_applied")


def test_creates_are_refused_without_a_journal(failure: JournalFailure) -> None:
    """Creates are refused before they are sent, reads work, and creates work again without a restart."""
    testbed = failure.testbed
    assert _create(testbed, "before").status == 201
    failure.start()
    assert eventually(lambda: _is_unavailable(_create(testbed, "meanwhile")), 5)
    assert _is_unavailable(_create(testbed, "meanwhile"))
    assert testbed.sent("cmdb", "meanwhile") == 0
    page = send(testbed.addresses[0], "GET", "/modules?backend=cmdb&scope=1&parent=10")
    assert [module["name"] for module in page.body["modules"]] == ["before"]
    failure.stop()
    assert eventually(lambda: _create(testbed, "meanwhile").status == 201, 10)
    assert testbed.sent("cmdb", "meanwhile") == 1
    assert _create(testbed, "before").headers["Idempotency-Replayed"] == "true"


def test_create_in_flight_is_settled_afterwards(failure: JournalFailure) -> None:
    """A create whose result cannot be stored is found by a lookup, and its caller gets the module."""
    testbed = failure.testbed
    testbed.fault("cmdb", {"fault": "delay", "seconds": 1.0})
    spec = CreateSpec("cmdb", "in-flight")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(create, testbed.addresses, spec)
        assert eventually(lambda: testbed.sent("cmdb", spec.name) == 1, 10)
        failure.start()
        assert eventually(lambda: testbed.created_count("cmdb", spec.name) == 1, 10)
        assert eventually(lambda: _is_unavailable(_create(testbed, "meanwhile")), 5)
        failure.stop()
        history = future.result()
    assert testbed.wait_until_settled()
    assert history.final is not None
    assert history.final.status == 201
    assert (testbed.sent("cmdb", spec.name), testbed.created_count("cmdb", spec.name)) == (1, 1)


def test_reads_do_not_wait_for_the_journal(tmp_path: Path) -> None:
    """While creates wait for a locked SQLite file, the same worker answers a read before any of them."""
    with ExitStack() as stack:
        failure = LockedFile(stack, tmp_path / "testbed")
        failure.start()
        pool = stack.enter_context(ThreadPoolExecutor(5))
        futures = [pool.submit(_create, failure.testbed, f"module-{number}") for number in range(5)]
        assert send(failure.testbed.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
        assert not any(future.done() for future in futures)
        assert all(_is_unavailable(future.result()) for future in futures)
        failure.stop()


def test_journal_that_cannot_be_opened_is_retried(tmp_path: Path) -> None:
    """A folder at the path of the journal stops creates but not reads; after it is removed, creates work."""
    (obstacle := tmp_path / "testbed" / "journal" / "journal.db").mkdir(parents=True)
    with run_testbed(tmp_path / "testbed", TOPOLOGY) as testbed:
        assert _is_unavailable(_create(testbed, "one"))
        assert testbed.sent("cmdb") == 0
        assert send(testbed.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
        obstacle.rmdir()
        assert _create(testbed, "one").status == 201


def test_full_disk_stops_creates_but_not_reads(tmp_path: Path) -> None:
    """If the journal cannot grow, creates are refused before they are sent, and no response contradicts the ledger."""
    limit = "ulimit -f 400"  # blocks of 512 bytes per file: a few dozen operations fit
    with run_testbed(tmp_path / "testbed", Topology(workers=1, deadline=5.0, hard=5.0, limit=limit)) as testbed:
        responses = [_create(testbed, f"module-{number}") for number in range(150)]
        created = [response for response in responses if response.status == 201]
        assert 0 < len(created) < len(responses)
        assert all(_is_unavailable(response) for response in responses if response.status != 201)
        ids = {str(entry["id"]) for entry in testbed.created("cmdb")}
        assert {response.body["native_id"] for response in created} == ids
        assert testbed.sent("cmdb") == len(created)
        assert send(testbed.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
