"""The WSGI application: routes, envelope and headers put together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flask import Flask, Request
from werkzeug.routing import MapAdapter

from gateway.api import access, backends, cors, documents, health, modules, operations, problems
from gateway.api.bodies import MAX_BYTES
from gateway.domain.ports import Backend, Clock
from gateway.identity import Identifier
from gateway.provisioning.provisioner import Provisioner
from gateway.settings import Cors
from gateway.telemetry.witness import Witness

_USUAL_HOST: Final = re.compile(r"[A-Za-z0-9.:-]{1,255}")
#: What a server runs; the layers above need no other word of Flask's.
Service = Flask


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What the routes work with."""

    backends: Mapping[str, Backend]
    provisioner: Provisioner
    metrics: Callable[[], bytes]
    clock: Clock
    new_id: Callable[[], str]
    deadline_seconds: float
    identifier: Identifier
    cors: Cors = field(default_factory=Cors)
    witness: Witness = field(default_factory=Witness)


class _Flask(Flask):
    """Flask without what no request here needs, at 50 µs."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return it as it is: no view and no hook is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Bind the routes to a request: none depends on its host, none is a websocket's."""
        environ = {} if request is None else request.environ
        host = environ.get("HTTP_HOST", "")
        if not _USUAL_HOST.fullmatch(host):
            return super().create_url_adapter(request)
        return MapAdapter(
            self.url_map,
            server_name=host.lower(),
            script_name=environ.get("SCRIPT_NAME") or "/",
            subdomain="",
            url_scheme=environ["wsgi.url_scheme"],
            path_info=environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace"),
            default_method=environ["REQUEST_METHOD"],
            query_args=environ.get("QUERY_STRING", ""),
        )


def build_api(gateway: Gateway) -> Flask:
    """Build the application; nothing is sent anywhere yet."""
    app = _Flask("gateway", static_folder=None, template_folder=None)
    # One byte more than is taken: a body of untold length is cut off here, and must be seen to be too long.
    app.extensions["provisioner"] = gateway.provisioner  # for the server, which must know when to drain
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES + 1
    app.json.sort_keys = False  # type: ignore[attr-defined] # of Flask's default provider
    app.json.ensure_ascii = False  # type: ignore[attr-defined] # the same
    app.url_map.merge_slashes = False  # a doubled slash is another address, not a redirect in HTML
    access.install(
        app,
        access.Door(
            clock=gateway.clock,
            new_id=gateway.new_id,
            deadline_seconds=gateway.deadline_seconds,
            identifier=gateway.identifier,
            witness=gateway.witness,
        ),
    )
    cors.install(app, gateway.cors.origins, gateway.cors.max_age_seconds)  # behind: it answers what has a call
    problems.install(app)
    app.register_blueprint(modules.routes(gateway.backends, gateway.provisioner))
    app.register_blueprint(backends.routes(gateway.backends))
    app.register_blueprint(operations.routes(gateway.provisioner.journal))
    app.register_blueprint(health.routes(gateway.provisioner, gateway.metrics))
    app.register_blueprint(documents.routes())
    return app
