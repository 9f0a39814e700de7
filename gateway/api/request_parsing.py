"""Bodies and queries of callers as domain objects; all errors of a request are reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

from flask import Request
from marshmallow import Schema, ValidationError, fields

from gateway.api.context import request_context
from gateway.api.i18n import placeholders
from gateway.api.json_body import JSON_TYPE, MERGE_PATCH_TYPE, parse_json_body
from gateway.api.schemas.fields import (
    MAX_PAGE_SIZE,
    IdField,
    OwnerList,
    PageSize,
    QueryBoolean,
    ReadOnlyField,
    SequenceNumber,
)
from gateway.api.schemas.requests import DRAFT_SCHEMA, PATCH_SCHEMA, VERDICT_SCHEMA, ParsedData
from gateway.domain.backend import Backend
from gateway.domain.capabilities import strip_whitespace
from gateway.domain.errors import (
    BackendUnknown,
    FieldError,
    GatewayError,
    ImmutableField,
    ModuleNotFound,
    UnsupportedField,
    ValidationFailed,
)
from gateway.domain.messages import ENGLISH, Message, message
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery

#: The message of a field error, by its code.
_MESSAGE_KEYS: Final[Mapping[str, str]] = {
    "backend_unknown": "no_such_connection",
    "choice": "not_a_choice",
    "duplicate": "duplicate_item",
    "immutable_field": "field_immutable",
    "null": "must_not_be_null",
    "range": "range",
    "repeated": "given_twice",
    "required": "required",
    "type": "type_expected",
    "unknown_field": "unknown_field",
}
#: The code and the message of errors of validators that have a text of their own.
_VALIDATOR_CODES: Final[Mapping[str, tuple[str, str]]] = {
    "batch_size": ("range", "batch_size"),
    "length": ("range", "length_between"),
    "ref": ("pattern", "ref_pattern"),
}
#: What a field accepts, for the detail of a value of the wrong type.
_EXPECTED_TYPES: Final[Mapping[type, str]] = {
    IdField: "string, integer",
    OwnerList: "list of ids",
    fields.Dict: "object",
    fields.List: "list",
    SequenceNumber: "number in digits",
    QueryBoolean: "true, false",
    PageSize: f"1 to {MAX_PAGE_SIZE}",
}
#: The codes of rules that a value which the backend already holds may break: a rule for names, for instance, is for new
#: ones.
_VALUE_RULES: Final = frozenset({"pattern", "range", "too_long", "too_many", "type"})
#: Field errors whose code becomes the code of the response if the request has no errors of another code.
_SPECIFIC_ERRORS: Final[Mapping[str, type[GatewayError]]] = {
    error.code: error for error in (BackendUnknown, ImmutableField, UnsupportedField)
}


def parse_create(request: Request, backends: Mapping[str, Backend]) -> tuple[Backend, ModuleDraft]:
    """Return the backend and the module to create; raises a GatewayError for a body that breaks the backend's rules."""
    data, errors = load(DRAFT_SCHEMA, parse_json_body(request, JSON_TYPE))
    request_context().values |= data
    name = data.pop("backend", None)
    backend = backends.get(name) if isinstance(name, str) else None
    if backend is None:
        if isinstance(name, str):
            errors.append(unknown_backend(name, backends))
        raise validation_error(errors)
    rule_errors = backend.capabilities.validate(data, "create")
    if errors or rule_errors:
        raise validation_error(_merge_errors(errors, rule_errors))
    return backend, build_draft(data)


def parse_patch(request: Request, backend: Backend, read_module: Callable[[], Module]) -> ModulePatch:
    """Return the changes of a module; raises a GatewayError for a body that breaks the backend's rules.

    The rules are for new values. If one is broken, the module is read: a value that it has already is left out.
    """
    data, errors = load(PATCH_SCHEMA, parse_json_body(request, JSON_TYPE, MERGE_PATCH_TYPE))
    request_context().values |= data
    rule_errors = backend.capabilities.validate(data, "update")
    if not errors and rule_errors and {error.code for error in rule_errors} <= _VALUE_RULES:
        data = _drop_unchanged(data, read_module())
        rule_errors = backend.capabilities.validate(data, "update")
    _raise_if_any(_merge_errors(errors, rule_errors))
    if backend.capabilities.description is None:
        data.pop("description", None)  # null is the only value that passed the check, and changes nothing
    return ModulePatch(**data)


def _drop_unchanged(data: ParsedData, module: Module) -> ParsedData:
    """Return the changes without the values that the module has."""
    current = {
        "name": strip_whitespace(module.name),
        "description": module.description,
        "owners": tuple(owner.id for owner in module.owners),
    }
    kept = {
        name: value
        for name, value in data.items()
        if name == "attributes" or value != current[name] or name in module.unavailable
    }
    if "attributes" in kept:
        kept["attributes"] = {
            name: value
            for name, value in kept["attributes"].items()
            if name not in module.attributes or value != module.attributes[name]
        }
    return kept


def parse_verdict(request: Request) -> ParsedData:
    """Return a person's verdict on an operation; raises ValidationFailed."""
    data, errors = load(VERDICT_SCHEMA, parse_json_body(request, JSON_TYPE))
    _raise_if_any(errors)
    return data


def parse_query(request: Request, schema: Schema) -> ParsedData:
    """Return the parameters of a query; raises ValidationFailed if one is unknown, malformed or repeated."""
    if not request.query_string:
        return _default_query(schema)
    args = request.args
    data, errors = load(schema, args.to_dict())
    errors += [
        FieldError(f"/{name}", "repeated", message("given_twice", name=name))
        for name, values in args.lists()
        if len(values) > 1
    ]
    _raise_if_any([replace(error, in_query=True) for error in errors])
    return data


def build_module_query(data: ParsedData, backends: Mapping[str, Backend]) -> tuple[Backend, ModuleQuery]:
    """Return the backend and the filter of a list; raises a GatewayError for ids that break the backend's rules.

    The rule for names is one for new names: the backend may hold others, and they can be filtered for.
    """
    request_context().values |= data
    backend = backends.get(data["backend"])
    if backend is None:
        raise validation_error([unknown_backend(data["backend"], backends)])
    capabilities, name = backend.capabilities, data.get("name")
    errors = [
        error
        for spec in (capabilities.scope, capabilities.parent)
        if (value := data.get(spec.name)) is not None
        for error in spec.validate(value, f"/{spec.name}")
    ]
    if name == "":
        errors.append(FieldError("/name", "required", message("must_not_be_empty", name="name")))
    _raise_if_any(errors)
    return backend, ModuleQuery(
        scope=data["scope"],
        parent=data.get("parent"),
        name=name,
        include_built_in=data.get("include") == "built_in",
    )


def split_module_id(module_id: str, backends: Mapping[str, Backend]) -> tuple[Backend, str]:
    """Split an id into its backend and its `ref`, the adapter's part; raises ModuleNotFound."""
    name, dot, ref = module_id.partition(".")
    backend = backends.get(name)
    if backend is None or not dot:
        raise ModuleNotFound
    request_context().values["backend"] = name
    return backend, ref


@cache
def _default_query(schema: Schema) -> ParsedData:
    """Return the parameters of an empty query; all requests share the dict, so that it must not be changed."""
    data, errors = load(schema, {})
    _raise_if_any([replace(error, in_query=True) for error in errors])
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
        return data, list(_flatten_errors(schema, messages, document))
    return data, []


def _merge_errors(errors: Sequence[FieldError], rule_errors: Iterable[FieldError]) -> list[FieldError]:
    """Return the errors, and those of the backend's rules for the other members."""
    members_with_error = {_top_level_member(error) for error in errors}
    return [*errors, *(error for error in rule_errors if _top_level_member(error) not in members_with_error)]


def _raise_if_any(errors: Sequence[FieldError]) -> None:
    if errors:
        raise validation_error(errors)


def _top_level_member(error: FieldError) -> str:
    return error.pointer.split("/", 2)[1]


def validation_error(errors: Sequence[FieldError]) -> GatewayError:
    """Return the error of the response: a specific one if all field errors have its code, or else ValidationFailed."""
    codes = {error.code for error in errors}
    code = codes.pop() if len(codes) == 1 else ""
    return _SPECIFIC_ERRORS.get(code, ValidationFailed)(errors=errors)


def _flatten_errors(
    schema: Schema, messages: Mapping[str, Any], document: Any, pointer: str = ""
) -> Iterator[FieldError]:
    """Yield the errors in marshmallow's messages about a document; they are nested like it, and are codes."""
    for name, children in messages.items():
        value = document.get(name) if isinstance(document, Mapping) else document
        if name == "_schema":  # the document is no object
            yield FieldError(pointer, "type", message("type_expected", value=value, type="object"))
        else:
            yield from _member_errors(schema, name, children, value, f"{pointer}/{_escape(name)}")


def _member_errors(
    schema: Schema, name: str, messages: Any, value: Any, pointer: str, *, is_item: bool = False
) -> Iterator[FieldError]:
    """Yield the errors in the messages about a member of a document, or about an item of it."""
    if not isinstance(messages, dict):
        for message_code in messages:
            code, key = _VALIDATOR_CODES.get(message_code, (message_code, _MESSAGE_KEYS.get(message_code)))
            code, key = ("type", "type_expected") if key is None else (code, key)
            yield FieldError(pointer, code, _describe(schema, name, key, value, is_item=is_item))
        return
    field = schema.fields[name]
    nested = field.inner if isinstance(field, fields.List) and is_item else field
    if isinstance(nested, fields.Nested):
        yield from _flatten_errors(nested.schema, messages, value, pointer)
        return
    for key, children in messages.items():
        item = value[key] if isinstance(value, list) and isinstance(key, int) else None
        yield from _member_errors(schema, name, children, item, f"{pointer}/{_escape(key)}", is_item=True)


def _escape(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _describe(schema: Schema, name: str, key: str, value: Any, *, is_item: bool) -> Message:
    """Return the message of an error: it names the value, and what is accepted instead."""
    if key == "unknown_field":
        known = [known for known, field in schema.fields.items() if not isinstance(field, ReadOnlyField)]
        return message("unknown_field", name=name, fields=known) if known else message("no_parameters", name=name)
    field = schema.fields[name]
    values = {
        "name": name,
        "value": value,
        "choices": field.metadata.get("enum", ()),
        "type": "string" if is_item else _EXPECTED_TYPES.get(type(field), "string"),
        "minimum": 1,
        "maximum": MAX_PAGE_SIZE,
    }
    return message(key, **{placeholder: values[placeholder] for placeholder in placeholders(ENGLISH[key])})


def unknown_backend(name: str, backends: Mapping[str, Backend]) -> FieldError:
    """Return the error of a name that no connection of the caller has."""
    detail = message("no_such_connection", name=name, connections=list(backends))
    return FieldError("/backend", "backend_unknown", detail)


def build_draft(data: ParsedData) -> ModuleDraft:
    """Return the draft of valid data."""
    return ModuleDraft(**{"parent": None, **data, "attributes": _drop_nulls(data.get("attributes", {}))})


def _drop_nulls(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes without nulls, which in a create mean *absent*."""
    return {name: value for name, value in attributes.items() if value is not None}
