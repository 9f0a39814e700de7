"""No secret leaks into logs, responses, metrics, traces or the journal; with real processes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
import pytest

from tests.integration.chaos import database
from tests.integration.chaos.testbed import eventually
from tests.integration.http_client import send
from tests.integration.secret_leaks.testbed import CMDB, PROJECT, PROJECTMAN, LeakTestbed, draft, run_testbed

BACKENDS = (*CMDB, *PROJECTMAN)
FAULTS: list[dict[str, Any]] = [
    {"fault": "reset"},
    {"fault": "drop", "effect": "late", "seconds": 0.3},
    {"fault": "html"},
    {"fault": "delay", "seconds": 1.2},
    {"fault": "status", "status": 503, "body": "html"},
    {"fault": "redirect", "location": "/login?token=none"},
    {"fault": "truncate"},
]


def successes(testbed: LeakTestbed) -> None:
    """Send every kind of request to every connection; the echo backend refuses them."""
    for backend in BACKENDS:
        headers = {
            **testbed.credentials(backend),
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
        status, module = testbed.send("POST", "/modules", draft(backend, f"made-{backend}"), headers)
        scope = draft(backend, "")["scope"]
        modules = f"/modules?backend={backend}&scope={scope}"
        testbed.send("GET", modules, None, headers)
        if not backend.endswith("-echo"):
            assert status == 201, module
            path, patch = f"/modules/{module['id']}", {"name": f"renamed-{backend}", "description": "d"}
            for method, body in (("GET", None), ("PATCH", patch), ("DELETE", None)):
                testbed.send(method, path, body, headers)
        for _ in range(6):  # the echo backend has six encodings
            testbed.send("GET", modules, None, headers)


def refusals(testbed: LeakTestbed) -> None:
    """Send wrong keys, wrong credentials and conflicting creates."""
    wrong_key = testbed.markers.make("wrong-key")
    for headers in (
        {"X-Api-Key": wrong_key},
        {"X-Api-Key": "", "Authorization": f"Bearer {wrong_key}"},
        {"X-Api-Key": "", "Authorization": f"Basic {wrong_key}"},
        {"X-Api-Key": "", "X-Forwarded-Client-Cert": f"URI=spiffe://{wrong_key}"},
        {"X-Api-Key": "", "Cookie": f"session={wrong_key}"},
        {"Authorization": f"Bearer {wrong_key}.{wrong_key}.{wrong_key}"},
    ):
        testbed.send("POST", "/modules", draft("cmdb", "refused"), headers)
    for backend, name in (("cmdb-own", "X-Bk-Token"), ("pm-own", "X-Auth-Token")):
        for value in (wrong_key, ""):
            testbed.send("POST", "/modules", draft(backend, "refused"), {name: value})
    testbed.send("POST", "/modules", draft("cmdb", "made-twice"))
    testbed.send("POST", "/modules", draft("cmdb", "made-twice"))
    testbed.send("POST", "/modules", {**draft("cmdb", "lost"), "scope": "99"})


def faults(testbed: LeakTestbed) -> None:
    """Create modules while the twins fail."""
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(partial(_send_with_faults, testbed), ("cmdb", "pm-token")))
    _send_with_faults(testbed, "pm-own")


def _send_with_faults(testbed: LeakTestbed, backend: str) -> None:
    twin = testbed.twins["cmdb" if backend == "cmdb" else "projectman"].removeprefix("http://")
    for number, fault in enumerate(FAULTS):
        send(twin, "POST", "/twin/faults", {"operation": "create", **fault})
        body = draft(backend, f"fault-{backend}-{number}")
        _, document = testbed.send("POST", "/modules", body, testbed.credentials(backend))
        if isinstance(document, dict) and document.get("instance"):
            testbed.send("GET", document["instance"])
        send(twin, "DELETE", "/twin/faults")


def bugs(testbed: LeakTestbed) -> None:
    """Trigger exceptions with secrets in their messages, in a request and in the greenlet of a create."""

    def trigger(backend: str) -> None:
        body, headers = draft(backend, f"explode-{backend}"), testbed.credentials(backend)
        testbed.send("POST", "/modules", body, headers)
        testbed.send("GET", f"/modules?backend={backend}&scope={body['scope']}&name=explode", None, headers)

    with ThreadPoolExecutor(len(BACKENDS)) as pool:
        list(pool.map(trigger, BACKENDS))


def malformed(testbed: LeakTestbed) -> None:
    """Send malformed HTTP and invalid requests, each with a key."""
    key = testbed.markers.make("api-key")
    host = f"Host: x\r\nX-Api-Key: {key}\r\n"
    for text in (
        f"GET /modules HTTP/1.1\r\n{host}Authorization Bearer {key}\r\n\r\n",
        f"GET /modules HTTP/1.1\r\n{host}X-Auth-Token\x00: {key}\r\n\r\n",
        f"GET /modules HTTP/1.1\r\n{host}X-Auth-Token: {key}\x00\r\n\r\n",
        f"GET /modules HTTP/1.1\r\n{host}Content-Length: {key}\r\n\r\n",
        f"POST /modules HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{key}\r\n\r\n",
        f"POST /modules HTTP/1.1\r\n{host}Content-Length: 900\r\n\r\n{{",
        f"GET /modules HTTP/1.1\r\n{host}X-Auth-Token: {key * 4000}\r\n\r\n",
        f"GET /modules HTTP/{key}\r\n{host}\r\n",
    ):
        testbed.send_raw(text.encode())
    for body in (b"{", b"\xff", b'{"backend": "cmdb", "password": 1}', b"[" * 5000, b'{"a":1,"a":2}', b"x" * 70_000):
        testbed.send("POST", "/modules", body)
    for path in ("/nowhere", "/modules/x", "/modules?backend=nope&scope=1", "/operations/nope", "/%00%ff"):
        testbed.send("GET", path)
    testbed.send("BREW", "/modules")


def crashes(testbed: LeakTestbed) -> None:
    """Kill workers and wait for their replacements."""
    for number in (signal.SIGKILL, signal.SIGABRT):
        victim = min(testbed.replica.workers)
        with suppress(ProcessLookupError):  # it may have ended already
            os.kill(victim, number)
        assert eventually(lambda: victim not in (running := testbed.replica.workers) and len(running) == 2, 20)  # noqa: B023
        assert eventually(lambda: testbed.send("GET", "/readyz")[0] == 200, 20)


def read_everything(testbed: LeakTestbed) -> None:
    """Read every document and operation, then stop the gateway."""
    backends = [f"/backends/{name}" for name in BACKENDS]
    for path in ("/metrics", "/openapi.json", "/docs", "/errors", "/backends", *backends):
        assert testbed.send("GET", path)[0] == 200, path
    for operation in rows(testbed, "SELECT id FROM operations"):
        testbed.send("GET", f"/operations/{operation[0]}")
    time.sleep(0.5)  # the exporter sends every 200 ms
    testbed.replica.terminate()
    assert testbed.replica.wait(60) == 0


def rows(testbed: LeakTestbed, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query of the journal's database."""
    with psycopg.connect(testbed.journal_url) as connection:
        return connection.execute(query.encode()).fetchall()


pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LeakTestbed]:
    """The testbed after all scenarios."""
    with database.server() as postgres:
        url = database.new_database(postgres)
        with run_testbed(tmp_path_factory.mktemp("leaks"), url) as testbed:
            successes(testbed)
            refusals(testbed)
            faults(testbed)
            bugs(testbed)
            malformed(testbed)
            database.stop(postgres)
            testbed.send("POST", "/modules", draft("cmdb", "without-journal"))
            testbed.send("GET", "/metrics")
            postgres.ensure_postgres_running()
            crashes(testbed)
            read_everything(testbed)
            yield testbed


def _leaks(testbed: LeakTestbed, text: str) -> list[str]:
    return list(testbed.markers.leaks(text))


def test_log(finished: LeakTestbed) -> None:
    """The output of master and workers, both standard output and standard error."""
    log = finished.log.read_text(errors="replace")
    assert log.count('"message":"request"') > 100
    assert "[redacted]" in log
    for line in log.splitlines():
        leaks = _leaks(finished, line)
        assert leaks == [], line


def test_every_log_line_is_json(finished: LeakTestbed) -> None:
    """Each line is a JSON object with level, logger and message."""
    for line in finished.log.read_text(errors="replace").splitlines():
        assert json.loads(line).keys() >= {"level", "logger", "message"}, line


@pytest.mark.parametrize(
    "event",
    ["a bug", "a failed request", "a thread", "a warning", "a print", "a refusal", "malformed HTTP", "a dead worker"],
)
def test_scenario_is_in_the_log(finished: LeakTestbed, event: str) -> None:
    """Every scenario that could leak a secret has taken place."""
    matchers: dict[str, Callable[[dict[str, Any]], bool]] = {
        "a bug": lambda line: line["message"] == "a create failed unexpectedly" and "RuntimeError" in line["exception"],
        "a failed request": lambda line: line["message"] == "unexpected error" and "RuntimeError" in line["exception"],
        "a thread": lambda line: line["message"] == "uncaught exception" and "RuntimeError" in line["exception"],
        "a warning": lambda line: line["logger"] == "py.warnings" and "credentials" in line["message"],
        "a print": lambda line: line["logger"] == "gateway.stderr" and "credentials" in line["text"],
        "a refusal": lambda line: line["message"] == "unmapped backend code" and "[redacted]" in str(line),
        "malformed HTTP": lambda line: line.get("code") == "malformed_request",
        "a dead worker": lambda line: line["logger"] == "gunicorn.error" and "SIGKILL" in line["message"],
    }
    lines = map(json.loads, finished.log.read_text(errors="replace").splitlines())
    assert any(matchers[event](line) for line in lines)


def test_responses(finished: LeakTestbed) -> None:
    """Modules, problems, error pages, operations, documents and metrics."""
    statuses = "200 201 400 401 404 405 413 422 500 503 504"
    assert {text[:3] for _, text in finished.responses} >= set(statuses.split())
    for request, text in finished.responses:
        leaks = _leaks(finished, text)
        assert leaks == [], request


def test_journal(finished: LeakTestbed) -> None:
    """No row has credentials of a caller, a connection or the journal itself."""
    tables = rows(finished, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert tables
    for (table,) in tables:
        for row in rows(finished, f"SELECT * FROM {table}"):  # noqa: S608 - the name comes from the database
            leaks = _leaks(finished, str(row))
            assert leaks == [], table


def test_spans(finished: LeakTestbed) -> None:
    """The exported spans have requests and exchanges, but no secret."""
    exported = b"".join(finished.exported).decode("latin-1")
    assert "POST /modules" in exported
    assert "POST cmdb" in exported
    leaks = _leaks(finished, exported)
    assert leaks == []


def test_leaks_are_detected(finished: LeakTestbed) -> None:
    """The search finds each secret, whole and in part, and any other marker."""
    for name, value in finished.markers.values.items():
        assert name in _leaks(finished, f"x {value} y")
        assert name in _leaks(finished, f"x {value[:30]} y")
    assert _leaks(finished, "from somewhere else: canary-other-0123")
    assert PROJECT not in finished.markers.values
