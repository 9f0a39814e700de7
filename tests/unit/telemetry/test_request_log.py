"""What is seen of a request, from the application's point of view: its line, its figures, its trace."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway import identity
from gateway.api import context, middleware
from gateway.api.lean import LeanFlask
from gateway.settings import AuthConfig
from gateway.telemetry.logging_config import JsonFormatter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.redaction import Redactor
from gateway.telemetry.request_log import RequestTelemetry
from tests.conftest import VirtualClock
from tests.unit.telemetry.test_metrics import samples

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(dict, backends=["cmdb"])


@pytest.fixture
def redactor() -> Redactor:
    return Redactor()


@pytest.fixture
def app(clock: VirtualClock, metrics: Metrics, redactor: Redactor) -> Flask:
    """An application with one route, seen by a witness."""
    app = LeanFlask("seen")
    witness = RequestTelemetry(metrics, None, redactor)
    door = middleware.RequestHooksConfig(
        clock=clock,
        new_id=lambda: "new",
        deadline_seconds=1.0,
        identifier=identity.create_authenticator(AuthConfig(), clock),
        witness=witness,
    )
    middleware.install(app, door)
    return app


@pytest.fixture
def view(app: Flask) -> Callable[[Callable[[], Any]], FlaskClient]:
    """Serve a view at /modules."""

    def serve(function: Callable[[], Any]) -> FlaskClient:
        app.add_url_rule("/modules", view_func=function)
        return app.test_client()

    return serve


View = Callable[[Callable[[], Any]], FlaskClient]


def lines(caplog: pytest.LogCaptureFixture) -> list[Mapping[str, Any]]:
    return [json.loads(JsonFormatter().format(each)) for each in caplog.records if each.name == "gateway.access"]


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "gateway.access")
    return caplog


def test_the_line(view: View, clock: VirtualClock, seen: pytest.LogCaptureFixture) -> None:
    """It has all facts that lead on, and nothing that may be secret: neither body nor query."""

    def answer() -> str:
        clock.sleep(0.25)
        noted = context.notes()
        noted.backend, noted.operation, noted.replayed = "cmdb", "0198", True
        return "four"

    headers = {"traceparent": PARENT, "User-Agent": "x" * 500, "X-Request-Id": "mine"}
    view(answer).get("/modules?name=hidden", headers=headers)
    (line,) = lines(seen)
    assert {key: value for key, value in line.items() if key != "time"} == {
        "level": "info",
        "logger": "gateway.access",
        "message": "request",
        "method": "GET",
        "route": "/modules",
        "path": "/modules",
        "status": 200,
        "code": None,
        "outcome": None,
        "request_id": "mine",
        "trace_id": PARENT[3:35],
        "caller": "anonymous",
        "backend": "cmdb",
        "operation": "0198",
        "replayed": True,
        "milliseconds": 250.0,
        "upstream_milliseconds": 0.0,
        "remote": "127.0.0.1",
        "user_agent": "x" * 120,
        "bytes": 4,
    }


def test_no_line_where_nobody_wants_it(view: View, caplog: pytest.LogCaptureFixture) -> None:
    """The access log can be turned off by its level."""
    caplog.set_level(logging.WARNING, "gateway.access")
    view(lambda: "x").get("/modules")
    assert lines(caplog) == []


def test_the_trace_goes_on(view: View) -> None:
    """The call that goes to the backend carries the request's trace."""
    traces: list[Mapping[str, str]] = []

    def answer() -> str:
        traces.append(context.notes().call.trace)
        return ""

    client = view(answer)
    client.get("/modules", headers={"traceparent": PARENT, "tracestate": "a=1"})
    client.get("/modules", headers={"traceparent": "made up"})
    assert traces == [{"traceparent": PARENT, "tracestate": "a=1"}, {}]


def test_in_flight(view: View, metrics: Metrics) -> None:
    """A request is in flight while it is answered, and no longer, even where it fails."""
    during: list[int] = []

    def answer() -> str:
        during.append(metrics.in_flight)
        raise RuntimeError

    assert view(answer).get("/modules").status_code == 500
    assert (during, metrics.in_flight) == ([1], 0)


def test_counted(view: View, metrics: Metrics, clock: VirtualClock) -> None:
    """An answer is counted with the route that it came from, an address that fits none under none."""

    def answer() -> str:
        clock.sleep(0.02)
        return ""

    client = view(answer)
    client.get("/modules")
    client.get("/nowhere/at/all")
    assert set(samples(metrics, "gateway_requests_total")) == {
        ("/modules", "GET", "200", "", "", ""),
        ("none", "GET", "404", "", "", ""),
    }
    assert samples(metrics, "gateway_request_seconds_sum")["/modules", "GET"] == pytest.approx(0.02)


def test_a_credential_is_hidden(view: View, redactor: Redactor) -> None:
    """What a caller sent along for a backend is known to the redactor from then on."""

    def answer() -> str:
        context.notes().visit.hide("the-credential-of-a-caller")
        return ""

    view(answer).get("/modules")
    assert redactor.redact("x the-credential-of-a-caller") == "x [redacted]"
