"""The routes of /backends: which connections there are and what each can keep, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Response, jsonify

from gateway.api.authorization import visible
from gateway.domain.backend import Backend
from gateway.domain.capabilities import INT64_MAX, Capabilities, FieldSpec
from gateway.domain.errors import NotFound

_JSON_TYPES: Final[Mapping[str, Any]] = {
    "string": "string",
    "integer": "integer",
    "boolean": "boolean",
    "scalar": ["string", "number", "boolean"],
    "owners": "array",
}


def routes(backends: Mapping[str, Backend]) -> Blueprint:
    """Build the routes over these connections."""
    blueprint = Blueprint("backends", __name__)

    @blueprint.get("/backends")
    def list_backends() -> Response:
        return jsonify(backends=[_summary(backend) for backend in visible(backends).values()])

    @blueprint.get("/backends/<name>")
    def get_backend(name: str) -> Response:
        if (backend := visible(backends).get(name)) is None:
            raise NotFound("No connection has this name; see /backends.")
        return jsonify({**_summary(backend), **_render(backend.name, backend.capabilities)})

    return blueprint


def _summary(backend: Backend) -> dict[str, Any]:
    rules = backend.capabilities
    return {"name": backend.name, "type": rules.type, "title": rules.title, "state": backend.state}


def _render(name: str, rules: Capabilities) -> dict[str, Any]:
    fields = [_field(field, field.name) for field in rules.fields.values()]
    fields += [_field(field, f"attributes.{field.name}") for field in rules.attributes]
    return {
        "scope": rules.scope.description,
        "parent": rules.parent.description,
        "fields": fields,
        "limits": dict(rules.limits),
        "settle_seconds": rules.settle_seconds,
        "credential_header": rules.credential_header,
        "notes": list(rules.notes),
        "create_schema": create_schema(name, rules),
    }


def _field(field: FieldSpec, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "meaning": field.description,
        "required": field.required,
        "readable": field.readable,
        "writable": list(field.writable),
        "schema": _schema(field),
    }


def create_schema(name: str, rules: Capabilities) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a create on this connection: enough to draw a form from."""
    fields = list(rules.fields.values())
    attributes = {field.name: _schema(field) for field in rules.attributes if "create" in field.writable}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A module of {rules.title}",
        "type": "object",
        "properties": {
            "backend": {"const": name},
            **{field.name: _schema(field) for field in fields},
            **({"attributes": _object(attributes)} if attributes else {}),
        },
        "required": ["backend", *(field.name for field in fields if field.required)],
        "additionalProperties": False,
    }


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _schema(field: FieldSpec) -> dict[str, Any]:
    """Translate a field's rules; what JSON Schema has no word for is said in x-max-bytes, x-maximum and the text."""
    one = {
        "pattern": f"^(?:{field.pattern})$" if field.pattern else None,
    }
    found: dict[str, Any] = {
        "description": " Allowed: ".join(filter(None, (field.description, field.allowed_description))),
        "type": _JSON_TYPES[field.kind] if field.required else _nullable(_JSON_TYPES[field.kind]),
        "maxLength": field.max_length,
        "minLength": 1 if field.required and field.kind == "string" else None,
        "minimum": 0 if field.kind == "integer" else None,
        "maximum": (field.maximum or INT64_MAX) if field.kind == "integer" else None,
        "x-max-bytes": field.max_bytes,
        "x-maximum": field.maximum if field.kind == "string" else None,
    }
    if field.kind == "owners":
        found |= {"items": _given({"type": "string", **one}), "maxItems": field.max_items, "uniqueItems": True}
        found |= {"minItems": 1 if field.required else None}
    else:
        found |= one
    return _given(found)


def _nullable(types: str | list[str]) -> list[str]:
    return [*([types] if isinstance(types, str) else types), "null"]


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
