"""gunicorn's hooks: the log line at start, the wait for creates in flight, and no access lines."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config

from gateway.server import hooks
from gateway.telemetry.shared_memory import SETTINGS_VARIABLE, SharedMemory


class Listener:
    """Stands in for a listening socket."""

    def __init__(self, name: Any) -> None:
        self.name = name

    def getsockname(self) -> Any:
        return self.name


def _worker(age: int, extensions: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(
        age=age,
        wsgi=SimpleNamespace(extensions=extensions),
        sockets=[Listener(("127.0.0.1", 8000)), Listener(("::1", 8000, 0, 0)), Listener("/run/gateway.sock")],
        cfg=SimpleNamespace(workers=2),
    )


def _extensions(**changes: Any) -> dict[str, Any]:
    return {
        "check_workers": lambda _number: None,
        "loopback_only": False,
        "start_fields": {},
        "start_warnings": (),
    } | changes


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector of the tests stays as it is."""
    monkeypatch.setattr(hooks, "gc", SimpleNamespace(freeze=bool, enable=bool, set_threshold=lambda *_numbers: None))


@pytest.mark.usefixtures("collector")
def test_the_start_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The first worker logs version, addresses, connections, journal, workers and warnings; later ones log nothing."""
    caplog.set_level(logging.INFO, "gateway.server")
    fields = {"version": "1", "connections": ["cmdb"], "journal": "SQLite at var/journal.db"}
    for age in (1, 2):
        hooks.post_worker_init(_worker(age, _extensions(start_fields=fields, start_warnings=("a", "b"))))
    record, *warnings = caplog.records
    assert [(each.levelname, each.getMessage(), each.__dict__["fields"]) for each in warnings] == [
        ("WARNING", "configuration warning", {"warning": warning}) for warning in ("a", "b")
    ]
    assert record.getMessage() == "gateway started"
    addresses = ["127.0.0.1:8000", "[::1]:8000", "unix:/run/gateway.sock"]
    assert record.__dict__["fields"] == {**fields, "addresses": addresses, "workers": 2}


def _start_refusal(worker: SimpleNamespace, capfd: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Return the exit status and what was printed."""
    with pytest.raises(SystemExit) as raised:
        hooks.post_worker_init(worker)
    return raised.value.code, capfd.readouterr().err


@pytest.mark.usefixtures("collector")
def test_a_start_at_another_address_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    """Without authentication a listening socket that is not local ends the start with one line and the status 3."""
    worker = _worker(1, _extensions(loopback_only=True))
    hooks.post_worker_init(worker)
    worker.sockets += [Listener(("192.0.2.2", 8000)), Listener(("::", 8000, 0, 0))]
    status, line = _start_refusal(worker, capfd)
    assert status == 3
    assert line.endswith("the server listens on 192.0.2.2:8000, [::]:8000\n")
    worker.wsgi.extensions["loopback_only"] = False
    hooks.post_worker_init(worker)


def test_a_journal_that_cannot_serve_the_workers_stops_the_server(capfd: pytest.CaptureFixture[str]) -> None:
    """The first worker prints one line and exits with the status that stops gunicorn; the others end quietly."""
    extensions = _extensions(check_workers=lambda number: f"not {number} workers")
    for age, expected in ((1, (3, "configuration: journal.url: not 2 workers\n")), (2, (0, ""))):
        assert _start_refusal(_worker(age, extensions), capfd) == expected


@pytest.mark.parametrize(("in_flight", "sleeps"), [([0], 0), ([2, 1, 0], 2), ([1] * 10_000, 720)])
def test_a_stopping_worker_waits_for_creates(
    monkeypatch: pytest.MonkeyPatch, in_flight: Sequence[int], sleeps: int
) -> None:
    """It waits until no create is in flight, and 36 seconds at most."""
    seconds, pauses, counts = [0.0], list[float](), iter(in_flight)

    def sleep(pause: float) -> None:
        pauses.append(pause)
        seconds[0] = len(pauses) * pause

    monkeypatch.setattr(hooks, "time", SimpleNamespace(monotonic=lambda: seconds[0], sleep=sleep))
    provisioner = SimpleNamespace(in_flight=lambda: next(counts))
    hooks.worker_exit(None, _worker(1, {"provisioner": provisioner}))
    assert len(pauses) == sleeps


def test_a_worker_that_did_not_load_does_not_wait() -> None:
    """There is no service to ask."""
    hooks.worker_exit(None, SimpleNamespace())


def test_gunicorn_writes_no_access_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Not even where gunicorn's access log is enabled."""
    caplog.set_level(logging.INFO)
    config = Config()
    config.set("accesslog", "-")
    logger = hooks.SilentAccessLogger(config)
    logger.access_log.propagate = True
    assert logger.access_log_enabled
    logger.access(None, None, None, None)
    assert not caplog.records


class FakeConfig:
    """Stands in for gunicorn's settings."""

    def __init__(self, bind: list[str]) -> None:
        self.bind = bind
        self.config = "./none.py"

    def set(self, name: str, value: list[str]) -> None:
        assert name == "bind"
        self.bind = value


@pytest.mark.parametrize(
    ("admin", "bind", "expected"),
    [
        ("", ["a:1"], ["a:1"]),
        ("a:2", ["a:1"], ["a:1", "a:2"]),
        ("a:2", ["a:2", "a:1"], ["a:1", "a:2"]),
        ("a:2", ["a:1", "a:2"], ["a:1", "a:2"]),
    ],
)
def test_the_admin_address_is_the_last(
    monkeypatch: pytest.MonkeyPatch, admin: str, bind: list[str], expected: list[str]
) -> None:
    """It is added once, however often gunicorn loads its settings, also to addresses of the command line."""
    monkeypatch.setenv("GATEWAY_ADMIN_BIND", admin)
    config = FakeConfig(bind)
    for _ in range(2):
        hooks.nworkers_changed(SimpleNamespace(cfg=config), 1, None)
    assert config.bind == expected


def test_places_of_workers() -> None:
    """A new worker gets the lowest free place, of which a dead one's is the first."""
    workers = [SimpleNamespace() for _ in range(4)]
    for worker in workers[:3]:
        hooks.pre_fork(None, worker)
    first = workers[0].metrics_slot
    hooks.child_exit(None, workers[1])
    hooks.pre_fork(None, workers[3])
    assert [worker.metrics_slot for worker in workers] == [first, first + 1, first + 2, first + 1]
    for worker in (workers[0], *workers[2:]):
        hooks.child_exit(None, worker)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[SharedMemory]:
    """The memory for the last valid configuration."""
    monkeypatch.setenv(SETTINGS_VARIABLE, "7")  # another master's
    hooks.on_starting(None)
    memory = SharedMemory(int(os.environ[SETTINGS_VARIABLE]))
    yield memory
    memory.close()


@pytest.mark.usefixtures("collector")
def test_the_configuration_is_stored_once(memory: SharedMemory, caplog: pytest.LogCaptureFixture) -> None:
    """The first worker that starts stores it; a failure is logged."""
    stored: list[bytes] = []

    def store(target: SharedMemory) -> None:
        stored.append(b"settings")
        target.publish(0, stored[-1])

    def fail(_target: SharedMemory) -> None:
        raise OSError("no memory")

    hooks.post_worker_init(_worker(2, _extensions(store_settings=fail)))
    for _ in range(2):
        hooks.post_worker_init(_worker(2, _extensions(store_settings=store)))
    assert stored == [b"settings"]
    assert [record.message for record in caplog.records] == ["configuration not stored"]


@pytest.mark.parametrize(
    ("child", "errors"),
    [
        (SimpleNamespace(returncode=0, stdout="", stderr=""), None),
        (SimpleNamespace(returncode=1, stdout="a: is wrong\nb: too\n", stderr="x\n"), ["a: is wrong", "b: too"]),
        (SimpleNamespace(returncode=-9, stdout="", stderr="Traceback\nMemoryError\n"), ["MemoryError"]),
        (subprocess.TimeoutExpired("check", 60), ["it could not be checked: TimeoutExpired"]),
    ],
)
def test_sighup(
    memory: SharedMemory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    child: Any,
    errors: list[str] | None,
) -> None:
    """A configuration that is stored is reloaded only after it has been checked; each error has a line."""
    caplog.set_level(logging.INFO)
    handlers: dict[int, Any] = {}
    reloads: list[object] = []
    monkeypatch.setattr(signal, "getsignal", lambda _number: lambda *_args: reloads.append(object()))
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)

    def run(*_args: Any, **_kwargs: Any) -> Any:
        if isinstance(child, Exception):
            raise child
        return child

    monkeypatch.setattr(subprocess, "run", run)
    listeners = [Listener(("127.0.0.1", 1))]
    hooks.when_ready(SimpleNamespace(cfg=FakeConfig([]), num_workers=2, LISTENERS=listeners))
    handlers[signal.SIGHUP](signal.SIGHUP, None)
    assert (len(reloads), caplog.records) == (1, [])  # no worker has started yet
    memory.publish(0, b"settings")
    handlers[signal.SIGHUP](signal.SIGHUP, None)
    lines = [record.__dict__["fields"]["error"] for record in caplog.records if record.message == "configuration error"]
    assert (len(reloads), lines) == (2 if errors is None else 1, errors or [])
    last = "configuration reloaded" if errors is None else "configuration not reloaded"
    assert caplog.records[-1].message == last
