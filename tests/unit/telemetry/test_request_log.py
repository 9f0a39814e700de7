"""Telemetry of a request that the API answers: access log line, metrics, trace."""

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
from gateway.settings import AuthConfig
from gateway.telemetry.logging_config import JsonFormatter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.redaction import Redactor
from gateway.telemetry.request_log import RequestTelemetry
from tests.conftest import VirtualClock, serve_locally
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
    """An application with request telemetry, for one route."""
    app = Flask("app")
    config = middleware.RequestHooksConfig(
        clock=clock,
        new_id=lambda: "new",
        deadline_seconds=1.0,
        authenticator=identity.create_authenticator(AuthConfig(), clock),
        telemetry=RequestTelemetry(metrics, None, redactor),
    )
    middleware.init_app(app, config)
    return serve_locally(app)


@pytest.fixture
def view(app: Flask) -> Callable[[Callable[[], Any]], FlaskClient]:
    """Serve a view at /modules."""

    def serve(function: Callable[[], Any]) -> FlaskClient:
        app.add_url_rule("/modules", view_func=function)
        return app.test_client()

    return serve


View = Callable[[Callable[[], Any]], FlaskClient]


def lines(caplog: pytest.LogCaptureFixture) -> list[Mapping[str, Any]]:
    return [json.loads(JsonFormatter().format(record)) for record in caplog.records if record.name == "gateway.access"]


@pytest.fixture
def access_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "gateway.access")
    return caplog


def test_access_log_line(view: View, clock: VirtualClock, access_log: pytest.LogCaptureFixture) -> None:
    """The line has the fields of the request, and neither body nor query, which may contain secrets."""

    def respond() -> str:
        clock.sleep(0.25)
        request_context = context.request_context()
        request_context.backend, request_context.operation, request_context.replayed = "cmdb", "0198", True
        return "four"

    headers = {"traceparent": PARENT, "User-Agent": "x" * 500, "X-Request-Id": "req-1"}
    view(respond).get("/modules?name=hidden", headers=headers)
    (line,) = lines(access_log)
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
        "request_id": "req-1",
        "trace_id": PARENT[3:35],
        "caller": "anonymous",
        "backend": "cmdb",
        "user": None,
        "module": None,
        "operation": "0198",
        "replayed": True,
        "milliseconds": 250.0,
        "upstream_milliseconds": 0.0,
        "remote": "127.0.0.1",
        "user_agent": "x" * 120,
        "bytes": 4,
    }


def test_access_log_turned_off(view: View, caplog: pytest.LogCaptureFixture) -> None:
    """The level of the logger turns the access log off."""
    caplog.set_level(logging.WARNING, "gateway.access")
    view(lambda: "x").get("/modules")
    assert lines(caplog) == []


def test_trace_is_propagated(view: View) -> None:
    """The call to the backend has the request's trace headers, without malformed ones."""
    traces: list[Mapping[str, str]] = []

    def respond() -> str:
        traces.append(context.request_context().call.trace)
        return ""

    client = view(respond)
    client.get("/modules", headers={"traceparent": PARENT, "tracestate": "a=1"})
    client.get("/modules", headers={"traceparent": "malformed"})
    assert traces == [{"traceparent": PARENT, "tracestate": "a=1"}, {}]


def test_in_flight(view: View, metrics: Metrics) -> None:
    """A request is in flight until it is answered, also if its view fails."""
    during: list[int] = []

    def respond() -> str:
        during.append(metrics.in_flight)
        raise RuntimeError

    assert view(respond).get("/modules").status_code == 500
    assert (during, metrics.in_flight) == ([1], 0)


def test_requests_are_counted(view: View, metrics: Metrics, clock: VirtualClock) -> None:
    """A request is counted with its route; one that matches no route under "none"."""

    def respond() -> str:
        clock.sleep(0.02)
        return ""

    client = view(respond)
    client.get("/modules")
    client.get("/nowhere/at/all")
    assert set(samples(metrics, "gateway_requests_total")) == {
        ("/modules", "GET", "200", "", "", ""),
        ("none", "GET", "404", "", "", ""),
    }
    assert samples(metrics, "gateway_request_seconds_sum")["/modules", "GET"] == pytest.approx(0.02)


def test_credential_is_redacted(view: View, redactor: Redactor) -> None:
    """A caller's credential for a backend is redacted until the request ends, failed or not."""
    seen: list[Any] = []

    def show() -> str:
        context.request_context().span.redact("the-credential-of-a-caller")
        seen.append(redactor.redact("x the-credential-of-a-caller"))
        raise RuntimeError

    assert view(show).get("/modules").status_code == 500
    assert seen == ["x [redacted]"]
    assert redactor.redact("x the-credential-of-a-caller") == "x the-credential-of-a-caller"
