"""The routes an orchestrator asks: is the process alive, does it take requests, how does it do."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response

from gateway.api.responses import json_response
from gateway.domain.errors import Draining
from gateway.provisioning.provisioner import Provisioner
from gateway.telemetry.metrics import CONTENT_TYPE


def routes(provisioner: Provisioner, metrics: Callable[[], bytes]) -> Blueprint:
    """Build the routes; neither depends on a backend: one of them down must not pull every replica."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/livez")
    def livez() -> Response:
        return json_response({"status": "alive"})

    @blueprint.get("/readyz")
    def readyz() -> Response:
        if provisioner.draining:
            raise Draining
        return json_response({"status": "ready"})

    @blueprint.get("/metrics")
    def figures() -> Response:
        return Response(metrics(), content_type=CONTENT_TYPE)

    return blueprint
