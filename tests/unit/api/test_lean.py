"""What is left out of Flask is missed by nobody: the short application routes and calls hooks as Flask does."""

from __future__ import annotations

from typing import Final

import pytest
from flask import Flask, Request, Response, current_app, g, has_app_context, has_request_context, request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.test import EnvironBuilder

from gateway.api.lean import LeanFlask, LeanRequest

_HOSTS: Final = ["localhost", "127.0.0.1:8000", "Gateway.Example.COM", "a_b", "[::1]:80", "", "a b", "é.example", "a/b"]
_PATHS: Final = ["/modules", "/modules/x", "/modules/", "//modules", "/modules//x", "/modules/%2F", "/%E4", "/docs", ""]


def _application(kind: type[Flask]) -> Flask:
    """Make an application with routes of every kind that there is here, strict as ours is."""
    app = kind("tried", static_folder=None)
    app.url_map.merge_slashes = False
    for rule in ("/modules", "/modules/<module_id>", "/docs/", "/docs/<path:file>"):
        app.add_url_rule(rule, view_func=lambda **given: given, endpoint=rule, methods=["GET", "POST"])
    return app


_APPLICATIONS: Final = [_application(kind) for kind in (LeanFlask, Flask)]


def _routed(app: Flask, path: str, host: str, method: str) -> object:
    """Return where a request leads: a view and what it is given, or the status and address of a refusal."""
    environ = EnvironBuilder(path="/", method=method).get_environ()
    environ |= {"HTTP_HOST": host, "PATH_INFO": path.encode().decode("latin-1")}
    try:
        with app.request_context(environ) as context:
            if context.request.routing_exception is not None:
                raise context.request.routing_exception
            return context.request.endpoint, context.request.view_args
    except HTTPException as error:
        return error.code, getattr(error, "new_url", None), getattr(error, "valid_methods", None)


@pytest.mark.parametrize("host", _HOSTS)
@pytest.mark.parametrize("path", _PATHS)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_routes(path: str, host: str, method: str) -> None:
    """Every address leads where Flask's own binding leads it, whatever the host."""
    lean, usual = (_routed(app, path, host, method) for app in _APPLICATIONS)
    assert lean == usual


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_path(path: str) -> None:
    """So does any path at all."""
    lean, usual = (_routed(app, f"/{path}", "localhost", "GET") for app in _APPLICATIONS)
    assert lean == usual


@pytest.mark.parametrize(
    "given",
    [
        {}, {"PATH_INFO": "//a/é/"}, {"PATH_INFO": "/\xe4\xb8\xad"}, {"PATH_INFO": "/\xff"}, {"PATH_INFO": ""},
        {"SCRIPT_NAME": "/under/"}, {"SCRIPT_NAME": "/\xe4\xb8\xad"}, {"QUERY_STRING": "a=1&b=\xe4"},
        {"REQUEST_METHOD": "patch"}, {"SERVER_PORT": ""}, {"SERVER_PORT": "http"}, {"SERVER_NAME": "/run/socket"},
        {"wsgi.url_scheme": "https", "SERVER_PORT": "443"}, {"REMOTE_ADDR": "::1"}, {"HTTP_X_API_KEY": "k"},
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize(
    "left_out", [(), ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REQUEST_METHOD", "SCRIPT_NAME")]
)
@pytest.mark.parametrize("shallow", [False, True])
def test_a_request_knows_the_same(given: dict[str, str], left_out: tuple[str, ...], *, shallow: bool) -> None:
    """Whatever the environment says or leaves out, every attribute is what Werkzeug's own request has."""
    known = []
    for kind in (LeanRequest, Request):
        environ = {**EnvironBuilder(path="/modules", method="POST", data=b"{}").get_environ(), **given}
        for name in left_out:
            environ.pop(name, None)
        made = kind(environ, shallow=shallow)
        assert environ.get("werkzeug.request") is (None if shallow else made)
        known.append({**vars(made), "headers": dict(made.headers), "environ": None})
    assert known[0] == known[1]


def test_outside_of_a_request() -> None:
    """Addresses can be built without one, as Flask builds them."""
    lean = _application(LeanFlask)
    lean.config["SERVER_NAME"] = "gateway.example"
    with lean.app_context():
        assert lean.url_for("/modules") == "http://gateway.example/modules"


def test_the_order_of_hooks() -> None:
    """What was attached first begins first and ends last; who answers before the view keeps the rest from beginning."""
    app = LeanFlask("tried", static_folder=None)
    seen: list[str] = []

    def attach(name: str, *, answers: bool) -> None:
        @app.before_request
        def before() -> str | None:
            seen.append(f"before {name}")
            return "early" if answers else None

        @app.after_request
        def after(response: Response) -> Response:
            seen.append(f"after {name}")
            return response

        @app.teardown_request
        def over(_error: BaseException | None) -> None:
            seen.append(f"over {name}")

    for name in ("a", "b", "c"):
        attach(name, answers=name == "b")
    assert app.test_client().get("/").text == "early"
    assert seen == ["before a", "before b", "after c", "after b", "after a", "over c", "over b", "over a"]


def test_the_present_request_ends_with_it() -> None:
    """Within a request Flask's own names stand for it, within another one for that; outside they stand for nothing."""
    app = _application(LeanFlask)
    with app.test_request_context("/modules", method="POST") as outer:
        assert (request.path, current_app.name, g.outcome) == ("/modules", "tried", None)
        g.outcome = "ours"
        with app.test_request_context("/modules/x"):
            assert g.outcome == "ours"
            assert (request.path, request.view_args) == ("/modules/x", {"module_id": "x"})
        assert (request.path, request.view_args) == ("/modules", {})
        assert outer.request.environ["werkzeug.request"] is outer.request
    with app.test_request_context("/modules"), LeanFlask("another").test_request_context("/"):
        assert (current_app.name, g.outcome) == ("another", None)
    assert not has_request_context()
    assert not has_app_context()
    assert outer.request.environ["werkzeug.request"] is None


def test_a_request_that_is_kept() -> None:
    """The test client begins one again to keep it, and so may anybody, also within itself: it ends as in Flask."""
    seen = []
    for kind in (LeanFlask, Flask):
        app, ends = _application(kind), list[str]()
        app.teardown_request(lambda _error, ends=ends: ends.append(request.path))
        with app.test_client() as client:
            client.get("/modules")
            kept = (request.path, [*ends])
        with app.test_request_context("/modules/x") as context:
            with context:
                twice = request.path
            inside = [*ends]
        assert not has_request_context()
        assert not has_app_context()
        seen.append((kept, twice, inside, ends))
    assert seen[0] == seen[1]


def test_what_fails_at_the_end_ends_all_the_same() -> None:
    """An error in what is called last is told, and leaves no request behind."""
    app = _application(LeanFlask)

    @app.teardown_request
    def fail(_error: BaseException | None) -> None:
        raise KeyError("over")

    with pytest.raises(KeyError, match="over"):
        app.test_client().get("/modules")
    assert not has_request_context()
    assert not has_app_context()


def test_a_host_that_nobody_trusts() -> None:
    """Where the routes cannot be bound to a request, it is refused, as by Flask."""
    for kind in (LeanFlask, Flask):
        app = _application(kind)
        app.config["TRUSTED_HOSTS"] = ["localhost"]
        assert app.test_client().get("/modules", headers={"Host": "a_b"}).status_code == 400


def test_a_route_that_leads_elsewhere() -> None:
    """An address that was moved is answered with where to, as by Flask, and not by its view."""
    for kind in (LeanFlask, Flask):
        app = _application(kind)
        app.url_map.add(Rule("/old", endpoint="/modules", redirect_to="modules", methods=["GET"]))
        moved = app.test_client().get("/old")
        assert (moved.status_code, moved.headers["Location"]) == (308, "http://localhost/modules")


def test_nothing_is_left_out_that_is_used(app: Flask) -> None:
    """No blueprint of ours has hooks of its own, and no view is a coroutine: those would be passed over."""
    for hooks in (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs):
        assert set(hooks) <= {None}
    assert not app.url_value_preprocessors
    assert not any(hasattr(view, "__await__") or view.__code__.co_flags & 0x80 for view in app.view_functions.values())
    assert app.secret_key is None  # there are no sessions
    assert not app.teardown_appcontext_funcs
