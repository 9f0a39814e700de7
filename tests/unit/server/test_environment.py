"""The server's environment variables."""

from __future__ import annotations

import pytest

from gateway.server import application
from gateway.server.environment import InvalidEnvironment, ServerEnvironment, read_environment


def test_defaults() -> None:
    """Without variables there is one worker on the loopback address."""
    assert read_environment({}) == ServerEnvironment(
        bind="127.0.0.1:8000", workers=1, keepalive_seconds=75, deregister_seconds=0.0
    )


def test_values() -> None:
    """Each variable sets its value."""
    environ = {
        "GATEWAY_BIND": "[::1]:9000",
        "GATEWAY_WORKERS": "4",
        "GATEWAY_KEEPALIVE_SECONDS": "300",
        "GATEWAY_LEAVE_SECONDS": "2.5",
    }
    assert read_environment(environ) == ServerEnvironment(
        bind="[::1]:9000", workers=4, keepalive_seconds=300, deregister_seconds=2.5
    )


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("GATEWAY_WORKERS", "two", "an integer from 1 to 256"),
        ("GATEWAY_WORKERS", "", "an integer from 1 to 256"),
        ("GATEWAY_WORKERS", "1.5", "an integer from 1 to 256"),
        ("GATEWAY_WORKERS", "0", "an integer from 1 to 256"),
        ("GATEWAY_WORKERS", "257", "an integer from 1 to 256"),
        ("GATEWAY_KEEPALIVE_SECONDS", "-1", "an integer from 0 to 3600"),
        ("GATEWAY_LEAVE_SECONDS", "nan", "a number from 0 to 3600"),
        ("GATEWAY_LEAVE_SECONDS", "inf", "a number from 0 to 3600"),
        ("GATEWAY_BIND", "localhost", "HOST:PORT or unix:PATH"),
        ("GATEWAY_BIND", "127.0.0.1:65536", "HOST:PORT or unix:PATH"),
        ("GATEWAY_BIND", "http://127.0.0.1:80", "HOST:PORT or unix:PATH"),
        ("GATEWAY_BIND", "unix:", "HOST:PORT or unix:PATH"),
        ("GATEWAY_ADMIN_BIND", "8001", "HOST:PORT or unix:PATH"),
        ("GATEWAY_ADMIN_BIND", "fd://3", "HOST:PORT or unix:PATH"),
        ("GATEWAY_ADMIN_BIND", "127.0.0.1:8000", "another address than GATEWAY_BIND"),
    ],
)
def test_an_invalid_value_is_an_error(name: str, value: str, allowed: str) -> None:
    """The error names the variable and what it accepts."""
    with pytest.raises(InvalidEnvironment) as raised:
        read_environment({name: value})
    assert raised.value.errors == [f"{name}: must be {allowed}"]


@pytest.mark.parametrize("bind", ["127.0.0.1:0", ":8000", "unix:/run/gateway.sock", "fd://3", "gateway.local:65535"])
def test_addresses(bind: str) -> None:
    """Ports, Unix sockets and inherited descriptors are addresses."""
    assert read_environment({"GATEWAY_BIND": bind}).bind == bind


def test_all_errors_are_printed_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A server with invalid variables prints one line per error and exits with gunicorn's status for a failed start."""
    with pytest.raises(SystemExit) as raised:
        application.load_gunicorn_settings({"GATEWAY_WORKERS": "two", "GATEWAY_LEAVE_SECONDS": "x"})
    assert raised.value.code == 3
    assert capsys.readouterr().err.splitlines() == [
        "configuration: GATEWAY_WORKERS: must be an integer from 1 to 256",
        "configuration: GATEWAY_LEAVE_SECONDS: must be a number from 0 to 3600",
    ]


def test_settings_follow_the_variables() -> None:
    """Gunicorn waits for the time of deregistering in addition."""
    environ = {"GATEWAY_LEAVE_SECONDS": "4.5", "GATEWAY_WORKERS": "3", "GATEWAY_BIND": "127.0.0.1:0"}
    settings = application.load_gunicorn_settings(environ)
    assert (settings["graceful_timeout"], settings["workers"], settings["bind"]) == (45, 3, "127.0.0.1:0")


@pytest.mark.parametrize(
    ("limits", "raised", "connections"),
    [((256, 1024), 1024, 512), ((1024, -1), 8192, 2000), ((-1, -1), None, 2000), ((20_000, 30_000), 20_000, 2000)],
)
def test_the_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], raised: int | None, connections: int
) -> None:
    """It is raised as far as allowed and needed; connections of callers take at most half of it."""
    changes: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.getrlimit", lambda _name: limits)
    monkeypatch.setattr("resource.setrlimit", lambda _name, values: changes.append(values))
    assert application.load_gunicorn_settings({})["worker_connections"] == connections
    assert changes == ([] if raised is None else [(raised, limits[1])])
