"""gunicorn's hooks: the log line at start, the wait for creates in flight, and no access lines."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config

from gateway.server import hooks


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
