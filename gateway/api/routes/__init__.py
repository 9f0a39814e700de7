"""The routes: one module for each resource."""

from __future__ import annotations

from typing import Final

from flask import Flask

from gateway.api.routes import backends, batch, changes, console, docs, health, lookups, modules, operations

_BLUEPRINTS: Final = (
    modules.blueprint,
    batch.blueprint,
    backends.blueprint,
    lookups.blueprint,
    docs.blueprint,
    console.blueprint,
    operations.blueprint,
    changes.blueprint,
    health.blueprint,
)


def register_blueprints(app: Flask) -> None:
    """Register all routes on an application."""
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
