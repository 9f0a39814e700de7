"""The OpenAPI 3.1 document, made from the routing table, the views' specs and the schemas that load and dump."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from marshmallow import fields
from werkzeug.routing import Rule

from gateway.api.endpoint_spec import EndpointSpec, ResponseSpec, endpoint_spec
from gateway.api.error_handlers import PROBLEM_TYPE
from gateway.api.json_body import JSON_TYPE
from gateway.api.routes import register_blueprints
from gateway.api.schemas.fields import MAX_PAGE_SIZE, IdField, OwnerList, PageSize, QueryBoolean, UtcDateTime
from gateway.api.schemas.responses import ProblemSchema

#: By blueprint; the others are tagged `about` and need no authentication.
_TAGS: Final = {
    "modules": "modules",
    "batch": "modules",
    "operations": "operations",
    "changes": "operations",
    "backends": "backends",
    "lookups": "backends",
}
#: How a caller authenticates; none is needed where a sidecar authenticates it or authentication is off.
_SECURITY_SCHEMES: Final[Mapping[str, Mapping[str, str]]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the configured issuer."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "An API key."},
}
_SECURITY: Final[tuple[Mapping[str, tuple[()]], ...]] = ({"bearer": ()}, {"apiKey": ()}, {})
_ACCEPT_LANGUAGE: Final = {
    "in": "header",
    "name": "Accept-Language",
    "description": "The language of titles and details: en or zh. Codes are the same in every language.",
    "schema": {"type": "string"},
}


def build() -> dict[str, Any]:
    """Return the document; no configuration is needed."""
    app = Flask("gateway", static_folder=None)
    register_blueprints(app)
    plugin = MarshmallowPlugin(schema_name_resolver=_resolve_schema_name)
    spec = APISpec(
        title="module-gateway",
        version=version("module-gateway"),
        openapi_version="3.1.0",
        servers=[{"url": "/"}],
        info={"description": "One API for modules in BlueKing CMDB and Huawei Cloud ProjectMan."},
        plugins=[plugin],
    )
    if plugin.converter is None:  # pragma: no cover - APISpec has created it
        raise AssertionError
    plugin.converter.add_attribute_function(custom_field_to_schema)  # type: ignore[no-untyped-call] # of apispec
    for name, scheme in _SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, dict(scheme))
    for rule in app.url_map.iter_rules():
        endpoint = endpoint_spec(app.view_functions[rule.endpoint])
        if endpoint is not None:
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            operations = {method.lower(): _build_operation(rule, endpoint) for method in methods}
            spec.path(path_template(rule), operations=operations)
    document: dict[str, Any] = spec.to_dict()
    return document


def path_template(rule: Rule) -> str:
    """Return the path of a rule as OpenAPI writes it, with `{id}` for `<module_id>`."""
    return re.sub(r"<(?:[a-z]+_)?([a-z]+)>", r"{\1}", rule.rule)


def _build_operation(rule: Rule, endpoint: EndpointSpec) -> dict[str, Any]:
    blueprint, _, view = rule.endpoint.partition(".")
    tag = _TAGS.get(blueprint)
    responses = {str(status): _build_response(response) for status, response in endpoint.responses.items()}
    problem = _build_response(("A problem.", [ProblemSchema]), PROBLEM_TYPE)
    operation: dict[str, Any] = {
        "operationId": re.sub("_([a-z])", lambda match: match[1].upper(), view),  # in camelCase
        "summary": endpoint.summary,
        "tags": [tag or "about"],
        "security": _SECURITY if tag else [],
        "parameters": [_ACCEPT_LANGUAGE, *endpoint.headers],
        "responses": {**responses, "4XX": problem, "5XX": problem},
    }
    for name in re.findall(r"{([a-z]+)}", path_template(rule)):
        operation["parameters"] += [{"in": "path", "name": name, "required": True, "schema": {"type": "string"}}]
    if endpoint.query is not None:
        operation["parameters"] += [{"in": "query", "schema": endpoint.query}]
    if endpoint.body is not None:
        content = {media_type: {"schema": endpoint.body} for media_type in endpoint.media_types}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _build_response(response: ResponseSpec, media_type: str = JSON_TYPE) -> dict[str, Any]:
    description, schemas = response
    if not schemas:
        return {"description": description}
    schema: Any = schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _resolve_schema_name(schema: Any) -> str:
    """Return the name of a schema class, or of the class of an instance, without the suffix."""
    name = schema.__name__ if isinstance(schema, type) else type(schema).__name__
    return str(name.removesuffix("Schema"))


_CUSTOM_FIELD_TYPES: Final[Mapping[type[fields.Field[Any]], Mapping[str, Any]]] = {
    IdField: {"type": ["string", "integer"]},
    OwnerList: {
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "id": {"type": "string"},
                        "name": {"type": ["string", "null"]},
                        "display_name": {"type": ["string", "null"]},
                    },
                    "required": ["id"],
                    "additionalProperties": False,
                },
            ]
        },
    },
    QueryBoolean: {"type": "boolean"},
    PageSize: {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE},
    UtcDateTime: {"type": "string", "format": "date-time"},
}


def custom_field_to_schema(_converter: Any, field: fields.Field[Any], **_kwargs: Any) -> dict[str, Any]:
    """Return the JSON Schema of a field type that apispec does not know."""
    schema = dict(_CUSTOM_FIELD_TYPES.get(type(field), {}))
    if field.allow_none and "type" in schema:
        types = schema["type"]
        schema["type"] = [*([types] if isinstance(types, str) else types), "null"]
    return schema
