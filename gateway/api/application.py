"""The WSGI application: routes, envelope and headers put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flask import Flask

from gateway.api import cors, error_handlers, middleware
from gateway.api.json_body import MAX_BYTES
from gateway.api.lean import LeanFlask
from gateway.api.routes import backends, docs, health, modules, operations
from gateway.domain.backend import Backend
from gateway.domain.runtime import Clock
from gateway.identity import Authenticator
from gateway.provisioning.provisioner import Provisioner
from gateway.settings import CorsConfig
from gateway.telemetry.request_log import RequestTelemetry

#: What a server runs; the layers above need no other word of Flask's.
WsgiApp = Flask


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDependencies:
    """What the routes work with."""

    backends: Mapping[str, Backend]
    provisioner: Provisioner
    metrics: Callable[[], bytes]
    clock: Clock
    new_id: Callable[[], str]
    deadline_seconds: float
    identifier: Authenticator
    cors: CorsConfig = field(default_factory=CorsConfig)
    witness: RequestTelemetry = field(default_factory=RequestTelemetry)


def create_api(gateway: AppDependencies) -> Flask:
    """Build the application; nothing is sent anywhere yet."""
    app = LeanFlask("gateway", static_folder=None, template_folder=None)
    # One byte more than is taken: a body of untold length is cut off here, and must be seen to be too long.
    app.extensions["provisioner"] = gateway.provisioner  # for the server, which must know when to drain
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES + 1
    app.json.sort_keys = False  # type: ignore[attr-defined] # of Flask's default provider
    app.json.ensure_ascii = False  # type: ignore[attr-defined] # the same
    app.url_map.merge_slashes = False  # a doubled slash is another address, not a redirect in HTML
    middleware.install(
        app,
        middleware.RequestHooksConfig(
            clock=gateway.clock,
            new_id=gateway.new_id,
            deadline_seconds=gateway.deadline_seconds,
            identifier=gateway.identifier,
            witness=gateway.witness,
        ),
    )
    cors.install(app, gateway.cors.origins, gateway.cors.max_age_seconds)  # behind: it answers what has a call
    error_handlers.install(app)
    app.register_blueprint(modules.routes(gateway.backends, gateway.provisioner))
    app.register_blueprint(backends.routes(gateway.backends))
    app.register_blueprint(operations.routes(gateway.provisioner.journal))
    app.register_blueprint(health.routes(gateway.provisioner, gateway.metrics))
    app.register_blueprint(docs.routes())
    return app
