"""The application is a plain Flask application: extensions, signals, hooks and test helpers work as documented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import flask
import pytest
from flask import Blueprint, Flask, Response, current_app, has_app_context, has_request_context, request
from flask.testing import FlaskClient
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.api.context import dependencies, request_context
from tests.conftest import local_socket
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

LIST = "/modules?backend=cmdb&scope=1"
LOCAL = {"gunicorn.socket": local_socket()}
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def shared_routes() -> None:
    """These tests add routes, so that each has its own."""


def test_plain_classes(app: Flask) -> None:
    """Application, request, response and `g` are of Flask's own classes."""
    assert type(app) is Flask
    assert app.request_class is flask.Request
    assert app.response_class is flask.Response
    with app.test_request_context("/livez", environ_overrides=LOCAL):
        app.preprocess_request()
        assert type(app.make_response(app.dispatch_request())) is flask.Response


@pytest.fixture
def spans(app: Flask) -> Iterator[InMemorySpanExporter]:
    """The spans that opentelemetry-instrumentation-flask exports for the application."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = cast("Any", FlaskInstrumentor)  # it has no types
    instrumentor.instrument_app(app, tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument_app(app)


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("POST", "/modules", "/modules", 201),
        ("GET", LIST, "/modules", 200),
        ("GET", "/modules/cmdb.1.10.7", "/modules/<module_id>", 404),
        ("PATCH", "/modules/cmdb.1.10.7", "/modules/<module_id>", 415),
    ],
)
def test_instrumentation(
    app: Flask, cmdb: FakeBackend, spans: InMemorySpanExporter, method: str, path: str, route: str, status: int
) -> None:
    """A request is one server span with route and status, in the caller's trace."""
    document = body(cmdb) if method == "POST" else None
    response = app.test_client().open(path, method=method, json=document, headers={"traceparent": PARENT})
    (span,) = spans.get_finished_spans()
    attributes = _attributes(span)
    assert response.status_code == status
    assert (span.name, span.kind) == (f"{method} {route}", SpanKind.SERVER)
    assert (attributes["http.route"], attributes["http.status_code"]) == (route, status)
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]


def test_instrumentation_of_an_error(app: Flask, cmdb: FakeBackend, spans: InMemorySpanExporter) -> None:
    """The span of an unexpected error has the status 500 and is marked as failed."""
    cmdb.fails["list"] = RuntimeError()
    assert app.test_client().get(LIST).status_code == 500
    (span,) = spans.get_finished_spans()
    assert (_attributes(span)["http.status_code"], span.status.status_code) == (500, StatusCode.ERROR)


def test_signals(app: Flask, client: FlaskClient, cmdb: FakeBackend) -> None:
    """Each request sends Flask's signals in their order; an unexpected error also sends got_request_exception."""
    sent: list[tuple[str, object]] = []

    def on_started(_app: Flask) -> None:
        sent.append(("started", request.path))

    def on_exception(_app: Flask, exception: Exception) -> None:
        sent.append(("exception", exception))

    def on_finished(_app: Flask, response: Response) -> None:
        sent.append(("finished", response.status_code))

    def on_tearing_down(_app: Flask, **_kwargs: Any) -> None:
        sent.append(("tearing down", None))

    error = RuntimeError()
    with (
        flask.request_started.connected_to(on_started, app),
        flask.got_request_exception.connected_to(on_exception, app),
        flask.request_finished.connected_to(on_finished, app),
        flask.appcontext_tearing_down.connected_to(on_tearing_down, app),
    ):
        client.get("/livez")
        client.get("/modules")
        cmdb.fails["list"] = error
        client.get(LIST)
    assert sent == [
        ("started", "/livez"), ("finished", 200), ("tearing down", None),
        ("started", "/modules"), ("finished", 422), ("tearing down", None),
        ("started", "/modules"), ("exception", error), ("finished", 500), ("tearing down", None),
    ]  # fmt: skip


def test_hooks_of_the_application(app: Flask) -> None:
    """Hooks that are registered later run inside the gateway's own, which have set the request context."""
    calls: list[object] = []

    @app.before_request
    def before() -> None:
        calls.append(request_context().call.request_id)

    @app.after_request
    def after(response: Response) -> Response:
        calls.append("Server-Timing" in response.headers)
        response.headers["X-Extension"] = "1"
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        calls.append(error)

    @app.teardown_appcontext
    def teardown_context(error: BaseException | None) -> None:
        calls.append(current_app.name)

    response = app.test_client().get("/livez")
    assert calls == ["request-1", False, None, "gateway"]
    assert response.headers["X-Extension"] == "1"


def test_early_response(app: Flask) -> None:
    """A before_request hook that returns a response replaces the view; the gateway's headers are still added."""
    app.before_request(lambda: ("early", 418))
    response = app.test_client().get("/livez")
    assert (response.status_code, response.text) == (418, "early")
    assert response.headers["X-Request-Id"] == "request-1"
    assert response.headers["X-Frame-Options"] == "DENY"


def test_hooks_of_a_blueprint(app: Flask) -> None:
    """The hooks and error handlers of a blueprint apply to its own views only."""
    blueprint = Blueprint("extension", __name__)
    calls: list[str] = []

    @blueprint.before_request
    def before() -> None:
        calls.append("before")

    @blueprint.after_request
    def after(response: Response) -> Response:
        calls.append("after")
        return response

    @blueprint.teardown_request
    def teardown(_error: BaseException | None) -> None:
        calls.append("teardown")

    @blueprint.errorhandler(KeyError)
    def handle(_error: KeyError) -> tuple[str, int]:
        return "handled", 409

    @blueprint.get("/extension")
    def view() -> str:
        raise KeyError

    app.register_blueprint(blueprint)
    client = app.test_client()
    client.get("/livez")
    assert calls == []
    response = client.get("/extension")
    assert (response.status_code, response.text) == (409, "handled")
    assert calls == ["before", "after", "teardown"]


def test_return_types_of_views(app: Flask) -> None:
    """A view of an extension may return any type that Flask converts to a response."""
    app.add_url_rule("/text", view_func=lambda: "text", endpoint="text")
    app.add_url_rule("/object", view_func=lambda: {"é": 1}, endpoint="object")
    client = app.test_client()
    assert client.get("/text").text == "text"
    assert client.get("/object").get_json() == {"é": 1}


def test_test_client(app: Flask, cmdb: FakeBackend) -> None:
    """Within `with client`, the request of the last response is still the current one; afterwards none is."""
    with app.test_client() as client:
        client.post("/modules", json=body(cmdb))
        assert request.url_rule is not None
        assert request.url_rule.rule == "/modules"
        assert request_context().operation == "op-1"
        client.get("/modules/cmdb.1.10.1")
        assert request.view_args == {"module_id": "cmdb.1.10.1"}
    assert not has_request_context()
    assert not has_app_context()


def test_test_request_context(app: Flask, cmdb: FakeBackend) -> None:
    """A request context that a test pushes is matched, dispatched and processed like a request of the server."""
    with app.test_request_context(LIST, environ_overrides=LOCAL):
        assert request.endpoint == "modules.list_modules"
        assert dependencies().backends["cmdb"] is cmdb
        response = app.full_dispatch_request()
        assert response.get_json() == {"modules": [], "next_page_token": None}
        assert request_context().backend == "cmdb"
    assert not has_request_context()


def test_nested_request(app: Flask) -> None:
    """A request inside a pushed application context has a request context of its own."""
    with app.app_context():
        client = app.test_client()
        ids = [client.get("/livez").headers["X-Request-Id"] for _ in range(2)]
        assert ids == ["request-1", "request-2"]


def test_urls(app: Flask) -> None:
    """URLs of views can be built inside and outside of a request."""
    with app.test_request_context("/"):
        assert flask.url_for("modules.get_module", module_id="cmdb.1.10.1") == "/modules/cmdb.1.10.1"
    app.config["SERVER_NAME"] = "gateway.example"
    with app.app_context():
        assert flask.url_for("health.livez") == "http://gateway.example/livez"


def test_trusted_hosts(app: Flask) -> None:
    """Flask's TRUSTED_HOSTS is effective: a request to another host is refused with a problem document."""
    app.config["TRUSTED_HOSTS"] = ["localhost"]
    client = app.test_client()
    assert client.get("/livez").status_code == 200
    assert_problem(client.get("/livez", headers={"Host": "evil.example"}), 400, "invalid_json")
