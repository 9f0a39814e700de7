"""Flask without what no request here needs: 180 calls, Python's and C's, of every request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, Response
from flask.ctx import AppContext, RequestContext
from flask.globals import _cv_app, _cv_request  # where Flask keeps the present ones
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import EnvironHeaders
from werkzeug.routing import MapAdapter, Rule

from gateway.api.context import RequestContext as Notes
from gateway.api.context import current_request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_USUAL_HOST: Final = re.compile(r"[A-Za-z0-9.:-]{1,255}")


class LeanRequest(Request):
    """A request that knows what Werkzeug's knows, asked of its environment directly."""

    def __init__(self, environ: WSGIEnvironment, populate_request: bool = True, shallow: bool = False) -> None:  # noqa: FBT001, FBT002 - Werkzeug's signature
        get = environ.get
        name, port = get("SERVER_NAME"), get("SERVER_PORT") or ""
        self.method = get("REQUEST_METHOD", "GET").upper()
        self.scheme = get("wsgi.url_scheme", "http")
        self.server = None if name is None else (name, int(port) if port.isdecimal() else None)
        self.root_path = _decoded(get("SCRIPT_NAME", "")).rstrip("/")
        self.path = f"/{_decoded(get('PATH_INFO', '')).lstrip('/')}"
        self.query_string = get("QUERY_STRING", "").encode("latin-1")
        self.headers = EnvironHeaders(environ)
        self.remote_addr = get("REMOTE_ADDR")
        self.environ = environ
        self.shallow = shallow
        if populate_request and not shallow:
            environ["werkzeug.request"] = self

    def close(self) -> None:
        """Do nothing: no body is a form, so no file of one is open."""


class _AppContext(AppContext):
    """The application of a request; nobody listens to its beginning and end."""

    def push(self) -> None:
        """Begin."""
        self._cv_tokens.append(_cv_app.set(self))

    def pop(self, exc: BaseException | None = None) -> None:  # noqa: ARG002 - Flask's signature
        """End."""
        _cv_app.reset(self._cv_tokens.pop())


class _RequestContext(RequestContext):
    """A request without a session."""

    app: LeanFlask

    def match_request(self) -> None:
        """Look where the address leads; one that is a route's own words leads there without a search."""
        asked = self.request
        rule = self.app.plain_routes.get((asked.method, asked.path))
        if rule is None:
            super().match_request()
        else:
            asked.url_rule, asked.view_args = rule, {}

    def push(self) -> None:
        """Begin, within the present application where it is ours."""
        present = _cv_app.get(None)
        application = None if present is not None and present.app is self.app else self.app.app_context()
        if application is not None:
            application.push()
        self._cv_tokens.append((_cv_request.set(self), application))
        if self.url_adapter is not None:
            self.match_request()

    def pop(self, exc: BaseException | None = None) -> None:
        """End; whoever pushed it more than once, as the test client does, ends it for good with the last."""
        token, application = self._cv_tokens[-1]
        try:
            if len(self._cv_tokens) == 1:
                self.app.do_teardown_request(exc)
        finally:
            del self._cv_tokens[-1]
            self.request.environ["werkzeug.request"] = None  # they hold each other
            _cv_request.reset(token)
            if application is not None:
                application.pop()


class LeanFlask(Flask):
    """An application whose hooks are its own and no blueprint's, without coroutines, sessions and listeners."""

    request_class = LeanRequest
    app_ctx_globals_class = Notes  # type: ignore[assignment] # any object does; nobody asks this one for what it has not

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return it as it is: no view and no hook is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Bind the routes to a request: none depends on its host, none is a websocket's."""
        if request is None:  # for the application itself, before each of its requests
            return super().create_url_adapter(None) if self.config["SERVER_NAME"] else None
        environ = request.environ
        host = environ.get("HTTP_HOST", "")
        if not _USUAL_HOST.fullmatch(host):
            return super().create_url_adapter(request)
        return MapAdapter(
            self.url_map,
            server_name=host.lower(),
            script_name=environ.get("SCRIPT_NAME") or "/",
            subdomain="",
            url_scheme=environ["wsgi.url_scheme"],
            path_info=request.path,
            default_method=request.method,
            query_args=environ.get("QUERY_STRING", ""),
        )

    @cached_property
    def plain_routes(self) -> Mapping[tuple[str, str], Rule]:
        """The routes without variables, by method and address; Flask takes no further ones after the first request."""
        plain = [rule for rule in self.url_map.iter_rules() if not rule.arguments and not rule.redirect_to]
        return {(method, rule.rule): rule for rule in plain for method in rule.methods or ()}

    def app_context(self) -> AppContext:
        """Make the context of one request."""
        return _AppContext(self)

    def request_context(self, environ: WSGIEnvironment) -> RequestContext:
        """Make it for a request."""
        return _RequestContext(self, environ)

    def full_dispatch_request(self) -> Response:
        """Answer a request; nobody listens to its beginning and end."""
        self._got_first_request = True
        try:
            answer = self.preprocess_request()
            if answer is None:
                answer = self.dispatch_request()
        except Exception as error:
            answer = self.handle_user_exception(error)
        return self.process_response(self.make_response(answer))

    def dispatch_request(self) -> ResponseReturnValue:
        """Call the view that the address leads to."""
        asked = current_request()
        rule = asked.url_rule
        if rule is None or asked.routing_exception is not None or asked.method == "OPTIONS":
            return super().dispatch_request()
        return self.view_functions[rule.endpoint](**(asked.view_args or {}))  # type: ignore[return-value] # no coroutine

    def make_response(self, rv: ResponseReturnValue) -> Response:
        """Return what is a response already as it is."""
        return rv if isinstance(rv, Response) else super().make_response(rv)

    def preprocess_request(self) -> ResponseReturnValue | None:
        """Call what is to be called before each view, until one of them answers."""
        for before in self.before_request_funcs[None]:
            answer: ResponseReturnValue | None = before()  # type: ignore[assignment] # no coroutine
            if answer is not None:
                return answer
        return None

    def process_response(self, response: Response) -> Response:
        """Hand the response to what is to see it, the last one that was attached first."""
        for after in reversed(self.after_request_funcs[None]):
            response = after(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Call what is to be called when a request is over, the last one that was attached first."""
        for teardown in reversed(self.teardown_request_funcs[None]):
            teardown(exc)


def _decoded(text: str) -> str:
    """Return what WSGI hands over as Latin-1 as the UTF-8 that it was."""
    return text if text.isascii() else text.encode("latin-1").decode(errors="replace")
