"""Bodies and queries of callers as domain objects; all errors of a request are reported at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from flask import Request
from marshmallow import Schema, ValidationError

from gateway.api.json_body import JSON_TYPE, MERGE_PATCH_TYPE, parse_json_body
from gateway.api.schemas.fields import MAX_PAGE_SIZE
from gateway.api.schemas.requests import DRAFT_SCHEMA, PATCH_SCHEMA, VERDICT_SCHEMA, ParsedData
from gateway.domain.backend import Backend
from gateway.domain.capabilities import WriteOperation
from gateway.domain.errors import (
    BackendUnknown,
    FieldError,
    GatewayError,
    ImmutableField,
    ModuleNotFound,
    UnsupportedField,
    ValidationFailed,
)
from gateway.domain.messages import message
from gateway.domain.module import ModuleDraft, ModulePatch, ModuleQuery

#: By the code of a field error.
_FIELD_MESSAGES: Final = {
    "backend_unknown": message("no_such_connection"),
    "batch_size": message("batch_size", minimum=1, maximum=100),
    "choice": message("not_a_choice"),
    "cycle": message("parent_cycle"),
    "duplicate": message("duplicate_item"),
    "immutable_field": message("field_immutable"),
    "length": message("length_between", minimum=1, maximum=500),
    "null": message("must_not_be_null"),
    "parent_ref": message("parent_ref_unknown"),
    "parent_twice": message("parent_twice"),
    "range": message("range", minimum=1, maximum=MAX_PAGE_SIZE),
    "repeated": message("given_twice"),
    "ref": message("ref_pattern"),
    "required": message("required"),
    "type": message("wrong_type"),
    "unknown_field": message("unknown_field"),
    "unsupported_field": message("field_unsupported"),
}
#: Field errors whose code becomes the code of the response if the request has no errors of another code.
_SPECIFIC_ERRORS: Final[Mapping[str, type[GatewayError]]] = {
    error.code: error for error in (BackendUnknown, ImmutableField, UnsupportedField)
}


def parse_create(request: Request, backends: Mapping[str, Backend]) -> tuple[Backend, ModuleDraft]:
    """Return the backend and the module to create; raises a GatewayError for a body that breaks the backend's rules."""
    data, errors = load(DRAFT_SCHEMA, parse_json_body(request, JSON_TYPE))
    name = data.pop("backend", None)
    backend = backends.get(name) if isinstance(name, str) else None
    if backend is None:
        if isinstance(name, str):
            errors.append(field_error("/backend", "backend_unknown"))
        raise validation_error(errors)
    _check_rules(backend, data, errors, "create")
    return backend, build_draft(data)


def parse_patch(request: Request, backend: Backend) -> ModulePatch:
    """Return the changes of a module; raises a GatewayError for a body that breaks the backend's rules."""
    data, errors = load(PATCH_SCHEMA, parse_json_body(request, JSON_TYPE, MERGE_PATCH_TYPE))
    _check_rules(backend, data, errors, "update")
    if backend.capabilities.description is None:
        data.pop("description", None)  # null is the only value that passed the check, and changes nothing
    return ModulePatch(**data)


def parse_verdict(request: Request) -> ParsedData:
    """Return a person's verdict on an operation; raises ValidationFailed."""
    data, errors = load(VERDICT_SCHEMA, parse_json_body(request, JSON_TYPE))
    if errors:
        raise validation_error(errors)
    return data


def parse_query(request: Request, schema: Schema) -> ParsedData:
    """Return the parameters of a query; raises ValidationFailed if one is unknown, malformed or repeated."""
    if not request.query_string:
        return _default_query(schema)
    args = request.args
    data, errors = load(schema, args.to_dict())
    errors += [field_error(f"/{name}", "repeated") for name, values in args.lists() if len(values) > 1]
    if errors:
        raise validation_error(errors)
    return data


def build_module_query(data: ParsedData, backends: Mapping[str, Backend]) -> tuple[Backend, ModuleQuery]:
    """Return the backend and the filter of a list; raises a GatewayError for values that break the backend's rules."""
    backend = backends.get(data["backend"])
    if backend is None:
        raise validation_error([field_error("/backend", "backend_unknown")])
    capabilities = backend.capabilities
    errors = [
        error
        for spec in (capabilities.scope, capabilities.parent, capabilities.name)
        if (value := data.get(spec.name)) is not None
        for error in spec.validate(value, f"/{spec.name}")
    ]
    if errors:
        raise validation_error(errors)
    return backend, ModuleQuery(
        scope=data["scope"],
        parent=data.get("parent"),
        name=data.get("name"),
        include_built_in=data.get("include") == "built_in",
    )


def split_module_id(module_id: str, backends: Mapping[str, Backend]) -> tuple[Backend, str]:
    """Split an id into its backend and its `ref`, the adapter's part; raises ModuleNotFound."""
    name, dot, ref = module_id.partition(".")
    backend = backends.get(name)
    if backend is None or not dot:
        raise ModuleNotFound
    return backend, ref


@cache
def _default_query(schema: Schema) -> ParsedData:
    """Return the parameters of an empty query; all requests share the dict, so that it must not be changed."""
    data, errors = load(schema, {})
    if errors:
        raise validation_error(errors)
    return data


def load(schema: Schema, document: Mapping[str, Any]) -> tuple[ParsedData, list[FieldError]]:
    """Return the valid members of a document and the errors of the others."""
    try:
        data: ParsedData = schema.load(document)
    except ValidationError as error:
        messages = error.messages_dict
        valid_data = error.valid_data if isinstance(error.valid_data, dict) else {}
        # Of a list with errors marshmallow keeps the valid elements; half of a list is not what the caller sent.
        data = {name: value for name, value in valid_data.items() if name not in messages}
        return data, list(_flatten_errors(messages))
    return data, []


def _check_rules(backend: Backend, data: ParsedData, errors: list[FieldError], operation: WriteOperation) -> None:
    """Add errors for values that break the backend's rules, one a field; raise a GatewayError if there are any."""
    members_with_error = {_top_level_member(error) for error in errors}
    errors += [
        error
        for error in backend.capabilities.validate(data, operation)
        if _top_level_member(error) not in members_with_error
    ]
    if errors:
        raise validation_error(errors)


def _top_level_member(error: FieldError) -> str:
    return error.pointer.split("/", 2)[1]


def validation_error(errors: Sequence[FieldError]) -> GatewayError:
    """Return the error of the response: a specific one if all field errors have its code, or else ValidationFailed."""
    codes = {error.code for error in errors}
    code = codes.pop() if len(codes) == 1 else ""
    return _SPECIFIC_ERRORS.get(code, ValidationFailed)(errors=errors)


def _flatten_errors(messages: Any, pointer: str = "") -> Iterator[FieldError]:
    """Yield the errors in marshmallow's messages, which are nested like the document; their texts are codes."""
    if isinstance(messages, dict):
        for key, children in messages.items():
            if key == "_schema":  # an error of the whole document
                yield from _flatten_errors(children, pointer)
                continue
            yield from _flatten_errors(children, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    else:
        for code in messages:
            yield field_error(pointer, code if code in _FIELD_MESSAGES else "type")


def field_error(pointer: str, code: str) -> FieldError:
    """Return an error with the text of its code."""
    return FieldError(pointer, code, _FIELD_MESSAGES[code])


def build_draft(data: ParsedData) -> ModuleDraft:
    """Return the draft of valid data."""
    return ModuleDraft(**{"parent": None, **data, "attributes": _drop_nulls(data.get("attributes", {}))})


def _drop_nulls(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes without nulls, which in a create mean *absent*."""
    return {name: value for name, value in attributes.items() if value is not None}
