"""Liveness, readiness and metrics. None depends on a backend: one backend down must not stop every replica."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.api.context import dependencies
from gateway.api.endpoint_spec import describe
from gateway.api.responses import json_response
from gateway.api.schemas.responses import StatusSchema
from gateway.domain.errors import Draining
from gateway.telemetry.metrics import CONTENT_TYPE

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
@describe(summary="Is the process alive?", responses={200: ("Yes.", [StatusSchema])})
def livez() -> Response:
    """Return 200 as long as the process can respond."""
    return json_response({"status": "alive"})


@blueprint.get("/readyz")
@describe(summary="Does it take requests?", responses={200: ("Yes.", [StatusSchema])})
def readyz() -> Response:
    """Return 200; raise Draining while the process shuts down, and the journal's error while it does not answer."""
    if dependencies().provisioner.draining:
        raise Draining
    if error := dependencies().journal_error():
        raise error.with_traceback(None)
    return json_response({"status": "ready"})


@blueprint.get("/metrics")
def metrics_view() -> Response:
    """Return the metrics in Prometheus' text format."""
    return Response(dependencies().render_metrics(), content_type=CONTENT_TYPE)
