"""The factory of the WSGI application."""

from __future__ import annotations

from flask import Flask

from gateway.api import cors, error_handlers, middleware
from gateway.api.context import EXTENSION_KEY, AppDependencies
from gateway.api.json_body import MAX_BODY_BYTES
from gateway.api.routes import register_blueprints

#: The type for the layers above, which do not import Flask.
WsgiApp = Flask


def create_api(dependencies: AppDependencies) -> Flask:
    """Create the application; nothing is sent to a backend."""
    app = Flask("gateway", static_folder=None, template_folder=None)
    app.extensions[EXTENSION_KEY] = dependencies
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
