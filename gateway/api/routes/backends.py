"""The routes of /backends: the connections, each of them a configured backend, and their capabilities."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response

from gateway.api.authorization import visible_backends
from gateway.api.endpoint_spec import describe
from gateway.api.responses import json_response
from gateway.api.schemas.json_schema import build_create_schema, build_field_schema
from gateway.api.schemas.responses import BackendSchema, BackendsSchema
from gateway.domain.backend import Backend
from gateway.domain.errors import NotFound
from gateway.domain.messages import message

blueprint = Blueprint("backends", __name__)
_BACKENDS: Final = BackendsSchema()
_BACKEND: Final = BackendSchema()


@blueprint.get("/backends")
@describe(summary="List the connections (configured backends)", responses={200: ("The connections.", [BackendsSchema])})
def list_backends() -> Response:
    """Return the connections that the caller may see."""
    return json_response(_BACKENDS.dump({"backends": visible_backends().values()}))


@blueprint.get("/backends/<name>")
@describe(summary="Tell what a connection can keep", responses={200: ("Its capabilities.", [BackendSchema])})
def get_backend(name: str) -> Response:
    """Return the capabilities of a connection."""
    if (backend := visible_backends().get(name)) is None:
        raise NotFound(message("no_such_connection", name=name, connections=list(visible_backends())))
    return json_response(serialize_capabilities(backend))


def serialize_capabilities(backend: Backend) -> dict[str, Any]:
    """Return a connection and its capabilities in the public format."""
    capabilities = backend.capabilities
    specs = {spec.name: spec for spec in capabilities.fields.values()}
    specs |= {f"attributes.{spec.name}": spec for spec in capabilities.attributes}
    document: dict[str, Any] = _BACKEND.dump(
        {
            "name": backend.name,
            "state": backend.state,
            "capabilities": capabilities,
            "fields_": [
                {"name": name, "spec": spec, "schema": build_field_schema(spec)} for name, spec in specs.items()
            ],
            "create_schema": build_create_schema(backend.name, capabilities),
        }
    )
    return document
