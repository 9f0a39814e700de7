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


def create_json_schema(backend: str, capabilities: Capabilities) -> dict[str, Any]:
    """Return the schema of a create's body on this connection; a form can be drawn from it."""
    fields = list(capabilities.fields.values())
    attributes = {
        field.name: field_json_schema(field) for field in capabilities.attributes if "create" in field.writable
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A module of {capabilities.title}",
        "type": "object",
        "properties": {
            "backend": {"const": backend},
            **{field.name: field_json_schema(field) for field in fields},
            **({"attributes": _object_schema(attributes)} if attributes else {}),
        },
        "required": ["backend", *(field.name for field in fields if field.required)],
        "additionalProperties": False,
    }


def field_json_schema(field: FieldSpec) -> dict[str, Any]:
    """Return the schema of one field.

    Rules that JSON Schema cannot express are in `x-max-bytes`, `x-maximum` and the description.
    """
    pattern = f"^(?:{field.pattern})$" if field.pattern else None
    schema: dict[str, Any] = {
        "description": _field_description(field),
        "type": _JSON_TYPES[field.kind] if field.required else _nullable(_JSON_TYPES[field.kind]),
        "maxLength": field.max_length,
        "minLength": 1 if field.required and field.kind == "string" else None,
        "minimum": 0 if field.kind == "integer" else None,
        "maximum": (field.maximum or INT64_MAX) if field.kind == "integer" else None,
        "x-max-bytes": field.max_bytes,
        "x-maximum": field.maximum if field.kind == "string" else None,
    }
    if field.kind == "owners":
        schema |= {
            "items": _drop_none({"type": "string", "pattern": pattern}),
            "maxItems": field.max_items,
            "uniqueItems": True,
            "minItems": 1 if field.required else None,
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


def _field_description(field: FieldSpec) -> str:
    accepted = field.allowed_description
    return " Allowed: ".join(filter(None, (field.description, None if accepted is None else str(accepted))))
