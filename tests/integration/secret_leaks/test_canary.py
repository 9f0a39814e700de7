"""No secret gets out: not by log, answer, metric, trace or journal, whatever goes wrong; with real processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chaos import database
from tests.integration.secret_leaks import trouble
from tests.integration.secret_leaks.stand import PROJECT, Stand, draft, match

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The gateway after everything has happened to it; the tests look at what was left behind."""
    with database.server() as started:
        url = database.new_database(started)
        with match(tmp_path_factory.mktemp("canary"), url) as stand:
            trouble.works(stand)
            trouble.refusals(stand)
            trouble.faults(stand)
            trouble.explosions(stand)
            trouble.malformed(stand)
            database.stop(started)
            stand.ask("POST", "/modules", draft("cmdb", "without-journal"))
            stand.ask("GET", "/metrics")
            started.ensure_postgres_running()
            trouble.crashes(stand)
            trouble.everything_shown(stand)
            yield stand


def _leaks(stand: Stand, text: str) -> list[str]:
    return list(stand.markers.leaks(text))


def test_no_line_of_the_log(stand: Stand) -> None:
    """Everything that master and workers wrote, standard output and error alike."""
    log = stand.log.read_text(errors="replace")
    assert log.count('"message":"request"') > 100
    assert "[redacted]" in log
    for line in log.splitlines():
        assert not _leaks(stand, line)


def test_every_line_is_one_of_ours(stand: Stand) -> None:
    """Nothing is written past the sink: each line is a JSON object with a level and a message."""
    for line in stand.log.read_text(errors="replace").splitlines():
        assert json.loads(line).keys() >= {"level", "logger", "message"}, line


@pytest.mark.parametrize(
    "what",
    ["a bug", "a failed request", "a thread", "a warning", "a print", "a refusal", "malformed HTTP", "a dead worker"],
)
def test_it_did_happen(stand: Stand, what: str) -> None:
    """What is not to leak was there to leak: the log tells of every kind of trouble."""
    signs: dict[str, Callable[[dict[str, Any]], bool]] = {
        "a bug": lambda line: line["message"] == "a create failed unexpectedly" and "RuntimeError" in line["exception"],
        "a failed request": lambda line: line["message"] == "unexpected error" and "RuntimeError" in line["exception"],
        "a thread": lambda line: line["message"] == "uncaught exception" and "RuntimeError" in line["exception"],
        "a warning": lambda line: line["logger"] == "py.warnings" and "credentials" in line["message"],
        "a print": lambda line: line["logger"] == "gateway.stderr" and "credentials" in line["text"],
        "a refusal": lambda line: line["message"] == "unmapped backend code" and "[redacted]" in str(line),
        "malformed HTTP": lambda line: line["logger"] == "gunicorn.error" and "nvalid" in line["message"],
        "a dead worker": lambda line: line["logger"] == "gunicorn.error" and "SIGKILL" in line["message"],
    }
    lines = map(json.loads, stand.log.read_text(errors="replace").splitlines())
    assert any(signs[what](line) for line in lines)


def test_no_answer(stand: Stand) -> None:
    """Modules, problems, error pages, operations, documents and figures."""
    assert {text[:3] for _, text in stand.told} >= {
        "200",
        "201",
        "400",
        "401",
        "404",
        "405",
        "413",
        "422",
        "500",
        "503",
        "504",
    }
    for asked, text in stand.told:
        assert not _leaks(stand, text), asked


def test_no_row_of_the_journal(stand: Stand) -> None:
    """Nothing of a caller's or a connection's credentials is written down, and no password of the journal's own."""
    tables = trouble.rows(stand, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert tables
    for (table,) in tables:
        for row in trouble.rows(stand, f"SELECT * FROM {table}"):  # noqa: S608 - a name that the database gave
            assert not _leaks(stand, str(row)), table


def test_no_span(stand: Stand) -> None:
    """What was exported tells of requests and exchanges, and of no secret."""
    exported = b"".join(stand.collector.bodies).decode("latin-1")
    assert "POST /modules" in exported
    assert "POST cmdb" in exported
    assert not _leaks(stand, exported)


def test_no_shared_figure(stand: Stand) -> None:
    """Nor do the files in which the workers share their figures."""
    files = list((stand.log.parent / "figures").iterdir())
    assert files
    for file in files:
        assert not _leaks(stand, file.read_bytes().decode("latin-1"))


def test_a_leak_would_be_seen(stand: Stand, tmp_path: Path) -> None:
    """The search finds each of the secrets, as it is, quoted, in base64, and in part."""
    for name, value in stand.markers.values.items():
        assert name in _leaks(stand, f"x {value} y")
        assert name in _leaks(stand, f"x {value[:30]} y")
    assert _leaks(stand, "from somewhere else: canary-other-0123")
    assert PROJECT not in stand.markers.values
