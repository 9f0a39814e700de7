"""The routes an orchestrator asks: is the process alive, does it take requests."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from gateway.domain.errors import Draining
from gateway.provisioning.provisioner import Provisioner


def routes(provisioner: Provisioner) -> Blueprint:
    """Build the routes; neither depends on a backend: one of them down must not pull every replica."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/livez")
    def livez() -> Response:
        return jsonify(status="alive")

    @blueprint.get("/readyz")
    def readyz() -> Response:
        if provisioner.draining:
            raise Draining
        return jsonify(status="ready")

    return blueprint
