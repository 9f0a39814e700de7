"""Callers' JSON and queries into our words; every mistake is found and told at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from flask import Request
from marshmallow import ValidationError

from gateway.api.json_body import JSON, MERGE_PATCH, read_object
from gateway.api.schemas import requests
from gateway.api.schemas.fields import MAX_PAGE_SIZE
from gateway.domain.backend import Backend
from gateway.domain.capabilities import Writable
from gateway.domain.errors import (
    BackendUnknown,
    FieldError,
    GatewayError,
    ImmutableField,
    ModuleNotFound,
    UnsupportedField,
    ValidationFailed,
)
from gateway.domain.module import ModuleDraft, ModulePatch, ModuleQuery
from gateway.hotpath.schemas import Loader

_WORDS: Final = {
    "backend_unknown": "No connection has this name; see /backends.",
    "choice": "Is none of the allowed values.",
    "duplicate": "Is there already.",
    "immutable_field": "The field is fixed once the module exists.",
    "null": "Must not be null.",
    "range": f"Must be from 1 to {MAX_PAGE_SIZE}.",
    "repeated": "Is given more than once.",
    "required": "Is required.",
    "type": "Is of the wrong type.",
    "unknown_field": "There is no such field.",
}
#: Mistakes that have a code of their own, where nothing else is wrong.
_OWN: Final[Mapping[str, type[GatewayError]]] = {
    error.code: error for error in (BackendUnknown, ImmutableField, UnsupportedField)
}


def load_draft(request: Request, backends: Mapping[str, Backend]) -> tuple[Backend, ModuleDraft]:
    """Return whom to ask for what; every rule of the backend has been checked."""
    values, mistakes = _load(requests.DRAFT, read_object(request, JSON))
    name = values.pop("backend", None)
    backend = backends.get(name) if isinstance(name, str) else None
    if backend is None:
        if isinstance(name, str):
            mistakes.append(_mistake("/backend", "backend_unknown"))
        raise _refusal(mistakes)
    _check(backend, values, mistakes, "create")
    given = {"parent": None, **values, "attributes": _without_nulls(values.get("attributes", {}))}
    return backend, ModuleDraft(**given)


def load_patch(request: Request, backend: Backend) -> ModulePatch:
    """Return what to change; every rule of the backend has been checked."""
    values, mistakes = _load(requests.PATCH, read_object(request, JSON, MERGE_PATCH))
    _check(backend, values, mistakes, "update")
    if backend.capabilities.description is None:
        values.pop("description", None)  # null, for anything else was refused: nothing is what it is already
    return ModulePatch(**values)


def load_query(request: Request, schema: Loader) -> requests.Loaded:
    """Return a query's parameters; one that is unknown, ill-formed or given twice is refused."""
    if not request.query_string:
        return _load_nothing(schema)
    values, mistakes = _load(schema, request.args.to_dict())
    mistakes += [_mistake(f"/{name}", "repeated") for name, given in request.args.lists() if len(given) > 1]
    if mistakes:
        raise _refusal(mistakes)
    return values


def module_query(values: requests.Loaded, backends: Mapping[str, Backend]) -> tuple[Backend, ModuleQuery]:
    """Return whom to ask for which modules, checked like a draft; a name too odd to exist is the caller's mistake."""
    backend = backends.get(values["backend"])
    if backend is None:
        raise _refusal([_mistake("/backend", "backend_unknown")])
    rules = backend.capabilities
    mistakes = [
        mistake
        for field in (rules.scope, rules.parent, rules.name)
        if (value := values.get(field.name)) is not None
        for mistake in field.validate(value, f"/{field.name}")
    ]
    if mistakes:
        raise _refusal(mistakes)
    return backend, ModuleQuery(
        scope=values["scope"],
        parent=values.get("parent"),
        name=values.get("name"),
        include_built_in=values.get("include") == "built_in",
    )


def find_backend(module_id: str, backends: Mapping[str, Backend]) -> tuple[Backend, str]:
    """Split an id into the connection and the part that is the adapter's."""
    name, dot, ref = module_id.partition(".")
    backend = backends.get(name)
    if backend is None or not dot:
        raise ModuleNotFound
    return backend, ref


@cache
def _load_nothing(schema: Loader) -> requests.Loaded:
    """Load what most requests say: nothing, once; nobody writes into it."""
    values, mistakes = _load(schema, {})
    if mistakes:
        raise _refusal(mistakes)
    return values


def _load(schema: Loader, document: Mapping[str, Any]) -> tuple[requests.Loaded, list[FieldError]]:
    """Load what is sound and name the rest."""
    try:
        return schema.load(document), []
    except ValidationError as error:
        messages = error.messages if isinstance(error.messages, dict) else {"": error.messages}
        valid = error.valid_data if isinstance(error.valid_data, dict) else {}
        # What is wrong in part is left out whole: half a list of owners is not what was asked for.
        return {name: value for name, value in valid.items() if name not in messages}, list(_flat(messages))


def _check(backend: Backend, values: requests.Loaded, mistakes: list[FieldError], use: Writable) -> None:
    known = {mistake.pointer for mistake in mistakes}
    found = backend.capabilities.validate(values, use)
    mistakes += (mistake for mistake in found if mistake.pointer.split("/")[1] not in {p.split("/")[1] for p in known})
    if mistakes:
        raise _refusal(mistakes)


def _refusal(mistakes: Sequence[FieldError]) -> GatewayError:
    codes = {mistake.code for mistake in mistakes}
    error = _OWN.get(next(iter(codes)), ValidationFailed) if len(codes) == 1 else ValidationFailed
    return error(errors=mistakes)


def _flat(messages: Any, pointer: str = "") -> Iterator[FieldError]:
    """Walk marshmallow's messages, which nest as the document does, down to the codes."""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _flat(inner, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    else:
        for code in messages:
            yield _mistake(pointer, code if code in _WORDS else "type")


def _mistake(pointer: str, code: str) -> FieldError:
    return FieldError(pointer, code, _WORDS[code])


def _without_nulls(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """In a create, null says *not given*."""
    return {name: value for name, value in attributes.items() if value is not None}
