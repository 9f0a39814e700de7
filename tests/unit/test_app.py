"""The composition root: the system's runtime, ids, and what the log line at start contains."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from gateway import app
from gateway.app import SystemRuntime
from gateway.settings import Settings
from gateway.telemetry.shared_memory import SETTINGS_VARIABLE, SharedMemory

_SECONDS: Final = 30.0
_FILE: Final = """
[journal]
url = "{url}"
[backends.cmdb-two]
type = "cmdb"
base_url = "http://127.0.0.1:1"
app_code = "gateway"
app_secret = "env:SECRET"
username = "admin"
"""


@pytest.fixture
def settings_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Settings]:
    """A configuration with one connection and a given journal."""

    def load(url: str) -> Settings:
        config = tmp_path_factory.mktemp("settings") / "gateway.toml"
        config.write_text(_FILE.format(url=url), encoding="utf-8")
        return app.load_settings({"GATEWAY_CONFIG": str(config), "SECRET": "app-secret"})

    return load


def test_background_work_runs_in_daemon_threads() -> None:
    """A hundred pieces of work run at the same time, none of them keeps the process alive, and a waiter is woken."""
    runtime, together, daemons = SystemRuntime(), threading.Barrier(101), list[bool]()
    done = runtime.event()

    def work() -> None:
        daemons.append(threading.current_thread().daemon)
        together.wait(_SECONDS)
        done.set()

    for _ in range(100):
        runtime.spawn(work)
    assert not done.wait(0.0)
    together.wait(_SECONDS)
    assert done.wait(_SECONDS)
    assert daemons == [True] * 100


def test_ids_sort_by_time() -> None:
    """Ids are UUIDs of version 7: an id made in a later millisecond is greater."""
    first = app._uuid7()
    SystemRuntime().sleep(0.002)
    second = app._uuid7()
    assert first < second
    assert {uuid.UUID(text).version for text in (first, second)} == {7}
    assert {uuid.UUID(text).variant for text in (first, second)} == {uuid.RFC_4122}


@pytest.mark.parametrize(
    ("url", "journal"),
    [
        ("sqlite:///var/journal.db", "SQLite at var/journal.db"),
        ("sqlite:///:memory:", "SQLite at :memory:"),
        ("postgresql://gateway:hush@db:5432/gateway", "PostgreSQL at db"),
        ("postgresql:///gateway?password=hush", "PostgreSQL at the local socket"),
    ],
)
def test_the_start_names_the_journal_without_its_password(
    settings_with: Callable[[str], Settings], url: str, journal: str
) -> None:
    """The log line at start contains version, connections, and the journal's kind and place."""
    fields = app._start_fields(settings_with(url))
    assert fields.keys() == {"version", "connections", "journal"}
    assert (fields["connections"], fields["journal"]) == (["cmdb-two"], journal)
    assert "hush" not in str(fields)


def test_a_stored_configuration_is_used(
    settings_with: Callable[[str], Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker that starts later does not read the file; without a stored configuration it does, and may refuse it."""
    settings, memory = settings_with("sqlite:///:memory:"), SharedMemory()
    environ = {SETTINGS_VARIABLE: str(memory.descriptor), "GATEWAY_CONFIG": str(tmp_path / "none.toml")}
    with pytest.raises(SystemExit):
        app.load_settings_or_exit(environ)
    assert "none.toml" in capsys.readouterr().err
    app.start_extensions(settings)["store_settings"](memory)
    assert app.load_settings_or_exit(environ) == settings
    memory.close()
