"""The JSON Schema (2020-12) of a create, made from a connection's capabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.domain.capabilities import INT64_MAX, Capabilities, FieldSpec

_JSON_TYPES: Final[Mapping[str, Any]] = {
    "string": "string",
    "integer": "integer",
    "boolean": "boolean",
    "scalar": ["string", "number", "boolean"],
    "owners": "array",
}


def build_create_schema(backend: str, capabilities: Capabilities) -> dict[str, Any]:
    """Return the schema of the body of `POST /modules` for this connection; a client can draw a form from it."""
    specs = list(capabilities.fields.values())
    attributes = {spec.name: build_field_schema(spec) for spec in capabilities.attributes if "create" in spec.writable}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A module of {capabilities.title}",
        "type": "object",
        "properties": {
            "backend": {"const": backend},
            **{spec.name: build_field_schema(spec) for spec in specs},
            **({"attributes": _object_schema(attributes)} if attributes else {}),
        },
        "required": ["backend", *(spec.name for spec in specs if spec.required)],
        "additionalProperties": False,
    }


def build_field_schema(spec: FieldSpec) -> dict[str, Any]:
    """Return the schema of one field.

    Rules that JSON Schema cannot express are in `x-max-bytes`, `x-maximum` and the description; a pattern that only
    updates have is in `x-update-pattern`.
    """
    pattern = f"^(?:{spec.pattern})$" if spec.pattern else None
    schema: dict[str, Any] = {
        "description": _field_description(spec),
        "type": _JSON_TYPES[spec.kind] if spec.required else _nullable(_JSON_TYPES[spec.kind]),
        "maxLength": spec.max_length,
        "minLength": 1 if spec.required and spec.kind == "string" else None,
        "minimum": 0 if spec.kind == "integer" else None,
        "maximum": (spec.maximum or INT64_MAX) if spec.kind == "integer" else None,
        "x-max-bytes": spec.max_bytes,
        "x-update-pattern": f"^(?:{spec.update_rule[0]})$" if spec.update_rule else None,
        "x-maximum": spec.maximum if spec.kind == "string" else None,
    }
    if spec.kind == "owners":
        schema |= {
            "items": _drop_none({"type": "string", "pattern": pattern}),
            "maxItems": spec.max_items,
            "uniqueItems": True,
            "minItems": 1 if spec.required else None,
        }
    else:
        schema["pattern"] = pattern
    return _drop_none(schema)


def _object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _nullable(types: str | list[str]) -> list[str]:
    return [*([types] if isinstance(types, str) else types), "null"]


def _drop_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _field_description(spec: FieldSpec) -> str:
    parts = [spec.description, str(spec.allowed_description or "")]
    return " Allowed: ".join(part for part in parts if part)
