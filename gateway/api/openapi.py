"""The OpenAPI 3.1 document, made from the schemas that validate and dump."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields

from gateway.api.error_handlers import PROBLEM_TYPE
from gateway.api.json_body import JSON, MERGE_PATCH
from gateway.api.schemas import fields as kinds
from gateway.api.schemas import requests, responses


class Operation(NamedTuple):
    """One method of one address."""

    path: str
    method: str
    name: str
    summary: str
    replies: Mapping[int, tuple[str, type[Schema] | None]]
    query: type[Schema] | None = None
    body: Schema | None = None


_PATCH: Final = requests.PatchSchema(only=("name", "description", "owners", "attributes"))
_MODULE: Final = responses.ModuleSchema
OPERATIONS: Final = (
    Operation(
        "/modules", "post", "createModule", "Create a module",
        {201: ("Created.", _MODULE),
         202: ("Prefer: respond-async. It is written down.", responses.OperationSchema),
         200: ("if_exists=adopt: it was there. validate_only: the checks.", None)},
        requests.CreateQuery, requests.DraftSchema(),
    ),
    Operation(
        "/modules", "get", "listModules", "List one connection's modules, page by page",
        {200: ("A page.", responses.PageSchema)}, requests.ListQuery,
    ),
    Operation("/modules/{id}", "get", "getModule", "Read a module", {200: ("The module.", _MODULE)}),
    Operation(
        "/modules/{id}", "patch", "updateModule", "Change name, description, owners or attributes",
        {200: ("The module as it is now.", _MODULE)}, None, _PATCH,
    ),
    Operation(
        "/modules/{id}", "delete", "deleteModule", "Delete a module",
        {204: ("It is gone.", None)}, requests.DeleteQuery,
    ),
    Operation(
        "/backends", "get", "listBackends", "List the connections",
        {200: ("The connections.", responses.BackendsSchema)},
    ),
    Operation(
        "/backends/{name}", "get", "getBackend", "Tell what a connection can keep",
        {200: ("Its capabilities.", responses.BackendSchema)},
    ),
    Operation(
        "/errors", "get", "listErrors", "List the codes of errors",
        {200: ("The registry.", responses.RegistrySchema)},
    ),
    Operation(
        "/operations/{id}", "get", "getOperation", "Follow a create",
        {200: ("What has become of it.", responses.OperationSchema)},
    ),
    Operation("/livez", "get", "livez", "Is the process alive?", {200: ("Yes.", responses.StatusSchema)}),
    Operation("/readyz", "get", "readyz", "Does it take requests?", {200: ("Yes.", responses.StatusSchema)}),
)  # fmt: skip


_TAGS: Final = {"modules": "modules", "operations": "modules", "backends": "backends"}
#: How a caller proves who he is; the last of them is the mesh's work, and where authentication is off nobody need.
_SCHEMES: Final[Mapping[str, Mapping[str, str]]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the configured issuer."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "An API key."},
}
_PROOFS: Final[tuple[Mapping[str, tuple[()]], ...]] = ({"bearer": ()}, {"apiKey": ()}, {})
_LANGUAGE: Final = {
    "in": "header",
    "name": "Accept-Language",
    "description": "In which language errors are told: en or zh. Codes stay.",
    "schema": {"type": "string"},
}
#: What a create may say of retries and of time; every other address ignores them.
_HEADERS: Final = tuple(
    {"in": "header", "name": name, "description": text, "schema": schema}
    for name, text, schema in (
        (
            "Idempotency-Key",
            "The same key and request give the same module, for 24 hours.",
            {"type": "string", "pattern": "^[!#-~]{1,255}$"},
        ),
        (
            "X-Request-Id",
            "The same id and request are the same create, for 10 minutes.",
            {"type": "string", "pattern": "^[A-Za-z0-9._:@/+=-]{1,128}$"},
        ),
        (
            "X-Request-Timeout-Ms",
            "How long the caller waits; x-envoy-expected-rq-timeout-ms says the same.",
            {"type": "integer", "minimum": 1, "maximum": 999_999_999},
        ),
        ("Prefer", "respond-async: 202 as soon as it is written down.", {"type": "string"}),
    )
)


def build() -> dict[str, Any]:
    """Return the document."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec(
        title="module-gateway",
        version=version("module-gateway"),
        openapi_version="3.1.0",
        info={"description": "One API for modules in BlueKing CMDB and Huawei Cloud ProjectMan."},
        plugins=[plugin],
    )
    if plugin.converter is None:  # pragma: no cover - APISpec has made it
        raise AssertionError
    plugin.converter.add_attribute_function(_own_fields)  # type: ignore[no-untyped-call] # of apispec
    for name, scheme in _SCHEMES.items():
        spec.components.security_scheme(name, dict(scheme))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    for path, operations in paths.items():
        spec.path(path=path, operations=operations)
    document: dict[str, Any] = spec.to_dict()
    return document


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [tag := _TAGS.get(operation.path.split("/")[1], "about")],
        "security": [] if tag == "about" else _PROOFS,
        "parameters": [_LANGUAGE, *(_HEADERS if operation.name == "createModule" else ())],
        "responses": {str(status): _reply(operation, status, *reply) for status, reply in operation.replies.items()}
        | {range_: _content("A problem.", responses.ProblemSchema, PROBLEM_TYPE) for range_ in ("4XX", "5XX")},
    }
    if "{" in operation.path:
        name = operation.path.partition("{")[2].rstrip("}")
        described["parameters"] += [{"in": "path", "name": name, "required": True, "schema": {"type": "string"}}]
    if operation.query is not None:
        described["parameters"] += [{"in": "query", "schema": operation.query}]
    if operation.body is not None:
        media_types = (JSON, MERGE_PATCH) if operation.method == "patch" else (JSON,)
        content = {media_type: {"schema": operation.body} for media_type in media_types}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _reply(operation: Operation, status: int, text: str, schema: type[Schema] | None) -> dict[str, Any]:
    if operation.name == "createModule" and status == 200:  # noqa: PLR2004 - the one status with two bodies
        return {
            "description": text,
            "content": {"application/json": {"schema": {"anyOf": [_MODULE, responses.PreviewSchema]}}},
        }
    return _content(text, schema, "application/json") if schema else {"description": text}


def _content(text: str, schema: type[Schema], media_type: str) -> dict[str, Any]:
    return {"description": text, "content": {media_type: {"schema": schema}}}


def _name(schema: Any) -> str:
    name = schema.__name__ if isinstance(schema, type) else type(schema).__name__
    return str(name.removesuffix("Schema"))


_OWN: Final[Mapping[type[fields.Field[Any]], Mapping[str, Any]]] = {
    kinds.Identifier: {"type": ["string", "integer"]},
    kinds.Owners: {
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
    kinds.Flag: {"type": "boolean"},
    kinds.PageSize: {"type": "integer", "minimum": 1, "maximum": kinds.MAX_PAGE_SIZE},
    kinds.Instant: {"type": "string", "format": "date-time"},
}


def _own_fields(_converter: Any, field: fields.Field[Any], **_kwargs: Any) -> dict[str, Any]:
    """Describe the fields that marshmallow does not know."""
    described = dict(_OWN.get(type(field), {}))
    if field.allow_none and "type" in described:
        types = described["type"]
        described["type"] = [*([types] if isinstance(types, str) else types), "null"]
    return described
