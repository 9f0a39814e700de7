"""The factory of the WSGI application."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from flask import Flask

from gateway.api import cors, error_handlers, middleware
from gateway.api.context import EXTENSION_KEY, AppDependencies
from gateway.api.json_body import MAX_BODY_BYTES
from gateway.api.routes import register_blueprints

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: A host name or address, with a port, of a length that name resolution allows.
_HOST: Final = re.compile(
    r"((?:[0-9A-Za-z_-]{1,63}\.)*[0-9A-Za-z_-]{0,63}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?", re.ASCII
)


class AnyHost:
    """WSGI middleware: replaces a Host that no client of this server sends on purpose.

    Nothing depends on the host, and Werkzeug refuses some values before a request has an id.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application."""
        if _HOST.fullmatch(environ.get("HTTP_HOST", "")) is None:
            environ.update(HTTP_HOST="localhost", SERVER_NAME="localhost", SERVER_PORT="80")
        return self._application(environ, start_response)


#: The type for the layers above, which do not import Flask.
WsgiApp = Flask


def create_api(dependencies: AppDependencies) -> Flask:
    """Create the application; nothing is sent to a backend."""
    app = Flask("gateway", static_folder=None, template_folder=None)
    app.wsgi_app = AnyHost(app.wsgi_app)  # type: ignore[method-assign] # Flask's documented way to add middleware
    app.extensions[EXTENSION_KEY] = dependencies
    app.extensions["deadline_seconds"] = dependencies.deadline_seconds  # the server's, for requests that stall
    app.extensions["provisioner"] = dependencies.provisioner  # the server sets `draining` on it
    # A body of unknown length is cut off here: one byte more than permitted shows that it is too large.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    app.url_map.merge_slashes = False  # //modules is another path, not a redirect
    middleware.init_app(
        app,
        middleware.RequestHooksConfig(
            clock=dependencies.clock,
            new_id=dependencies.new_id,
            deadline_seconds=dependencies.deadline_seconds,
            authenticator=dependencies.authenticator,
            telemetry=dependencies.telemetry,
            trusted_proxies=dependencies.trusted_proxies,
        ),
    )
    cors.init_app(app, dependencies.cors)  # after the hooks above
    error_handlers.init_app(app)
    register_blueprints(app)
    return app
