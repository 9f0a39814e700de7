from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.caller import CreateSpec, create
from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually, run_testbed
from tests.integration.http_client import HttpResponse, send

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

TOPOLOGY = Topology(workers=1, deadline=3.0)


@dataclass(frozen=True)
class JournalFailure:
    """A testbed whose journal can fail and recover."""

    testbed: GatewayTestbed
    start: Callable[[], object]
    stop: Callable[[], object]


@contextmanager
def lockable_file(folder: Path) -> Iterator[JournalFailure]:
    """Another process locks the SQLite file for writing, as a backup may."""
    with run_testbed(folder, TOPOLOGY) as testbed:
        path = folder / "journal" / "journal.db"
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)) as other:
            yield JournalFailure(testbed, partial(other.execute, "BEGIN IMMEDIATE"), other.rollback)


@contextmanager
def stoppable_server(folder: Path) -> Iterator[JournalFailure]:
    """PostgreSQL is stopped, and started again."""
    with database.server() as server, run_testbed(folder, TOPOLOGY, database.new_database(server)) as testbed:
        yield JournalFailure(testbed, partial(database.stop, server), server.ensure_postgres_running)


@pytest.fixture(params=[lockable_file, stoppable_server])
def failure(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JournalFailure]:
    with request.param(tmp_path / "testbed") as failure:
        yield failure


def _create(testbed: GatewayTestbed, name: str) -> HttpResponse:
    return CreateSpec("cmdb", name).send(testbed.addresses[0])


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
    assert testbed.wait_until_settled()
    assert future.result()[-1].status == 201
    assert (testbed.sent("cmdb", spec.name), testbed.created_count("cmdb", spec.name)) == (1, 1)


def test_reads_do_not_wait_for_the_journal(tmp_path: Path) -> None:
    """While creates wait for a locked SQLite file, the same worker answers a read before any of them.

    Only the first read of a module waits, because its id is recorded before the answer shows it.
    """
    with lockable_file(tmp_path / "testbed") as failure, ThreadPoolExecutor(5) as pool:
        assert send(failure.testbed.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
        failure.start()
        futures = [pool.submit(_create, failure.testbed, f"module-{number}") for number in range(5)]
        assert send(failure.testbed.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
        assert not any(future.done() for future in futures)
        assert all(_is_unavailable(future.result()) for future in futures)
        failure.stop()


def test_journal_that_cannot_be_opened_is_retried(tmp_path: Path) -> None:
    """A folder at the path of the journal stops creates but not reads; after it is removed, creates work.

    Until then the process is not ready, and the log says why, once.
    """
    (obstacle := tmp_path / "testbed" / "journal" / "journal.db").mkdir(parents=True)
    with run_testbed(tmp_path / "testbed", replace(TOPOLOGY, ready_path="/livez")) as testbed:
        assert _is_unavailable(_create(testbed, "one"))
        assert eventually(lambda: len(_log_lines(testbed, "journal unavailable")) == 1, 10)
        assert _readiness(testbed) == (503, "journal_unavailable")
        assert testbed.sent("cmdb") == 0
        assert send(testbed.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
        obstacle.rmdir()
        assert eventually(lambda: _readiness(testbed)[0] == 200, 10)
        assert _create(testbed, "one").status == 201
        (unavailable,) = _log_lines(testbed, "journal unavailable")
        assert "unable to open database file" in unavailable["cause"]
        assert len(_log_lines(testbed, "journal available")) == 1


def _readiness(testbed: GatewayTestbed) -> tuple[int, str | None]:
    response = send(testbed.addresses[0], "GET", "/readyz")
    return response.status, response.code


def _log_lines(testbed: GatewayTestbed, message: str) -> list[Mapping[str, Any]]:
    lines = (testbed.folder / "gateway-0.log").read_text().splitlines()
    return [entry for line in lines if line.startswith("{") and (entry := json.loads(line))["message"] == message]


def test_wrong_database(tmp_path: Path) -> None:
    """With a wrong URL of the database the process is not ready, and the log names the cause without the password."""
    url = "postgresql://gateway:hush-hush@127.0.0.1:1/gateway"
    with run_testbed(tmp_path / "testbed", replace(TOPOLOGY, ready_path="/livez"), url) as testbed:
        assert eventually(lambda: bool(_log_lines(testbed, "journal unavailable")), 10)
        assert _readiness(testbed) == (503, "journal_unavailable")
        (line,) = _log_lines(testbed, "journal unavailable")
        assert "Connection refused" in line["cause"]
        assert "hush-hush" not in (testbed.folder / "gateway-0.log").read_text()


def test_full_disk_stops_creates_but_not_reads(tmp_path: Path) -> None:
    """If the journal cannot grow, creates are refused before they are sent, and no response contradicts the ledger."""
    limit = ("/bin/sh", "-c", 'ulimit -f 400; exec "$@"', "sh")  # of 512 bytes per file: a few dozen operations fit
    topology = Topology(workers=1, deadline=5.0, hard=5.0, command_prefix=limit)
    with run_testbed(tmp_path / "testbed", topology) as testbed:
        responses = [_create(testbed, f"module-{number}") for number in range(150)]
        created = [response for response in responses if response.status == 201]
        assert 0 < len(created) < len(responses)
        assert all(_is_unavailable(response) for response in responses if response.status != 201)
        assert {response.body["native_id"] for response in created} == set(testbed.created_ids("cmdb"))
        assert testbed.sent("cmdb") == len(created)
        assert send(testbed.addresses[0], "GET", "/modules?backend=cmdb&scope=1").status == 200
