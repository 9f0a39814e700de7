"""No secret leaks into logs, responses, metrics, traces or the journal; with real processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.chaos import database
from tests.integration.secret_leaks import scenarios
from tests.integration.secret_leaks.testbed import PROJECT, LeakTestbed, draft, run_testbed

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LeakTestbed]:
    """The testbed after all scenarios."""
    with database.server() as postgres:
        url = database.new_database(postgres)
        with run_testbed(tmp_path_factory.mktemp("leaks"), url) as testbed:
            scenarios.successes(testbed)
            scenarios.refusals(testbed)
            scenarios.faults(testbed)
            scenarios.bugs(testbed)
            scenarios.malformed(testbed)
            database.stop(postgres)
            testbed.send("POST", "/modules", draft("cmdb", "without-journal"))
            testbed.send("GET", "/metrics")
            postgres.ensure_postgres_running()
            scenarios.crashes(testbed)
            scenarios.read_everything(testbed)
            yield testbed


def _leaks(testbed: LeakTestbed, text: str) -> list[str]:
    return list(testbed.markers.leaks(text))


def test_log(finished: LeakTestbed) -> None:
    """The output of master and workers, both standard output and standard error."""
    log = finished.log.read_text(errors="replace")
    assert log.count('"message":"request"') > 100
    assert "[redacted]" in log
    for line in log.splitlines():
        assert not _leaks(finished, line)


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
        "malformed HTTP": lambda line: line["logger"] == "gunicorn.error" and "nvalid" in line["message"],
        "a dead worker": lambda line: line["logger"] == "gunicorn.error" and "SIGKILL" in line["message"],
    }
    lines = map(json.loads, finished.log.read_text(errors="replace").splitlines())
    assert any(matchers[event](line) for line in lines)


def test_responses(finished: LeakTestbed) -> None:
    """Modules, problems, error pages, operations, documents and metrics."""
    statuses = "200 201 400 401 404 405 413 422 500 503 504"
    assert {text[:3] for _, text in finished.responses} >= set(statuses.split())
    for request, text in finished.responses:
        assert not _leaks(finished, text), request


def test_journal(finished: LeakTestbed) -> None:
    """No row has credentials of a caller, a connection or the journal itself."""
    tables = scenarios.rows(finished, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert tables
    for (table,) in tables:
        for row in scenarios.rows(finished, f"SELECT * FROM {table}"):  # noqa: S608 - the name comes from the database
            assert not _leaks(finished, str(row)), table


def test_spans(finished: LeakTestbed) -> None:
    """The exported spans have requests and exchanges, but no secret."""
    exported = b"".join(finished.exported).decode("latin-1")
    assert "POST /modules" in exported
    assert "POST cmdb" in exported
    assert not _leaks(finished, exported)


def test_metrics_files(finished: LeakTestbed) -> None:
    """The files in which the workers share their metrics have no secret."""
    files = list((finished.log.parent / "metrics").iterdir())
    assert files
    for file in files:
        assert not _leaks(finished, file.read_bytes().decode("latin-1"))


def test_leaks_are_detected(finished: LeakTestbed) -> None:
    """The search finds each secret, whole and in part, and any other marker."""
    for name, value in finished.markers.values.items():
        assert name in _leaks(finished, f"x {value} y")
        assert name in _leaks(finished, f"x {value[:30]} y")
    assert _leaks(finished, "from somewhere else: canary-other-0123")
    assert PROJECT not in finished.markers.values
