"""Flask without what no request here needs; what is left out costs 100 µs a request under load."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import EnvironHeaders
from werkzeug.routing import MapAdapter

from gateway.api.present import current_request

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


class _NoSessions(SessionInterface):
    """Every request has the same session: none."""

    _none: Final = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask's signature
        """Return what refuses to be written to."""
        return self._none


class LeanFlask(Flask):
    """An application whose hooks are its own and no blueprint's, without coroutines, sessions and listeners."""

    request_class = LeanRequest
    session_interface = _NoSessions()

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
            path_info=_decoded(environ.get("PATH_INFO", "")),
            default_method=environ["REQUEST_METHOD"],
            query_args=environ.get("QUERY_STRING", ""),
        )

    def full_dispatch_request(self) -> Response:
        """Answer a request; nobody listens to its beginning and end."""
        self._got_first_request = True
        try:
            answer = self.preprocess_request()
            if answer is None:
                answer = self.dispatch_request()
        except Exception as error:
            answer = self.handle_user_exception(error)
        return self.finalize_request(answer)

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
