"""Long-polling readers of the change log, while several workers write and publish."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic

import pytest

from tests.integration.chaos import database
from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.testbed import Topology, run_testbed
from tests.integration.http_client import exchange

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(600)]

WRITERS, READERS = 4, 3
#: `CHANGES=2000` is the long form.
CHANGES = int(os.environ.get("CHANGES", "200"))
TOPOLOGY = Topology(workers=2, deadline=20.0, hard=20.0)


def _write(address: str, writer: int) -> set[str]:
    """Create a module, change it again and again, and return the ids of the requests, all acknowledged."""
    module = CreateSpec("cmdb", f"writer-{writer}").send(address, {"X-Request-Id": f"create-{writer}"}).body["id"]
    request_ids = [f"change-{writer}-{number}" for number in range(CHANGES // WRITERS - 1)]
    with closing(HTTPConnection(address, timeout=30)) as connection:
        for request_id in request_ids:
            headers = {"X-Request-Id": request_id}
            response = exchange(connection, "PATCH", f"/modules/{module}", {"name": request_id}, headers)
            assert response.status == 200, response
    return {f"create-{writer}", *request_ids}


def _read(address: str) -> list[tuple[int, str]]:
    """Follow the log until it has all changes; return the numbers and request ids in the order of arrival."""
    entries: list[tuple[int, str]] = []
    after, deadline = 0, monotonic() + 300.0
    with closing(HTTPConnection(address, timeout=30)) as connection:
        while len(entries) < CHANGES and monotonic() < deadline:
            path = f"/changes?after={after}&page_size=50"
            response = exchange(connection, "GET", path, headers={"Prefer": "wait=5"})
            assert response.status == 200, response
            entries += [(entry["seq"], entry["request_id"]) for entry in response.body["changes"]]
            after = response.body["next_after"]
    return entries


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_each_reader_sees_each_change_once(kind: str, tmp_path: Path) -> None:
    """Four writers, three readers and two workers that publish: each reader sees each change once, in one order."""
    with (
        database.server() if kind == "postgres" else nullcontext() as server,
        run_testbed(tmp_path / "testbed", TOPOLOGY, database.new_database(server) if server else None) as testbed,
        ThreadPoolExecutor(WRITERS + READERS) as pool,
    ):
        address = testbed.addresses[0]
        reads = [pool.submit(_read, address) for _ in range(READERS)]
        writes = [pool.submit(_write, address, number) for number in range(WRITERS)]
        request_ids = sorted(set[str]().union(*(write.result() for write in writes)))
        logs: Sequence[list[tuple[int, str]]] = [read.result() for read in reads]
    for log in logs:
        assert log == logs[0]
        assert log == sorted(log), "not in the order of seq"
        assert sorted(request_id for _, request_id in log) == request_ids
