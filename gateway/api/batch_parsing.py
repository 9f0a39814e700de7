"""The items of a batch: all of them valid, or one error that lists what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Request

from gateway.api.json_body import JSON_TYPE, MAX_BATCH_BYTES, parse_json_body
from gateway.api.request_parsing import build_draft, load, unknown_backend, validation_error
from gateway.api.schemas.requests import BATCH_SCHEMA, default_values
from gateway.domain.backend import Backend
from gateway.domain.errors import FieldError
from gateway.domain.messages import message
from gateway.domain.module import ModuleDraft


@dataclass(frozen=True, slots=True)
class ParsedItem:
    """One valid item; its draft has no parent if that is the module of another item."""

    ref: str
    backend: Backend
    draft: ModuleDraft
    parent_ref: str | None


def parse_batch(request: Request, backends: Mapping[str, Backend], *, refs_required: bool) -> list[ParsedItem]:
    """Return the items in the order of the request; raises a GatewayError with all errors of all items."""
    document = parse_json_body(request, JSON_TYPE, max_bytes=MAX_BATCH_BYTES)
    data, errors = load(BATCH_SCHEMA, document)
    if "items" not in data:  # marshmallow leaves the list out if one of its items is invalid
        raise validation_error(_to_defaults(document, errors))
    items: list[ParsedItem] = []
    for index, values in enumerate(data["items"]):
        item, item_errors = _parse_item(values, backends)
        errors += [replace(error, pointer=f"/items/{index}{error.pointer}") for error in item_errors]
        if refs_required and "ref" not in document["items"][index]:
            errors.append(FieldError(f"/items/{index}/ref", "required", message("required", name="ref")))
        if item is not None:
            items.append(item)
    if not errors:
        errors = list(_relation_errors(items))
    if errors:
        raise validation_error(_to_defaults(document, errors))
    return items


def _parse_item(values: dict[str, Any], backends: Mapping[str, Backend]) -> tuple[ParsedItem | None, list[FieldError]]:
    """Return an item, or None and its errors."""
    ref, parent_ref, name = values.pop("ref"), values.pop("parent_ref", None), values.pop("backend")
    backend = backends.get(name)
    if backend is None:
        return None, [unknown_backend(name, backends)]
    errors = backend.capabilities.validate(values, "create")
    if parent_ref is not None:
        errors = [error for error in errors if (error.pointer, error.code) != ("/parent", "required")]
        if "parent" in values:
            errors.append(FieldError("/parent_ref", "repeated", message("parent_twice")))
        elif not backend.capabilities.parent_is_module:
            errors.append(
                FieldError("/parent_ref", "unsupported_field", message("field_unsupported", name="parent_ref"))
            )
    return (None if errors else ParsedItem(ref, backend, build_draft(values), parent_ref)), errors


def _relation_errors(items: Sequence[ParsedItem]) -> Iterator[FieldError]:
    """Yield the errors of items that do not fit together: names given twice, unknown parents, cycles."""
    by_ref: dict[str, ParsedItem] = {}
    places: set[tuple[Any, ...]] = set()
    for index, item in enumerate(items):
        if item.ref in by_ref:
            yield FieldError(f"/items/{index}/ref", "duplicate", message("duplicate_item", value=item.ref))
        by_ref.setdefault(item.ref, item)
        parent = item.draft.parent if item.parent_ref is None else f"ref:{item.parent_ref}"
        place = (item.backend.name, *item.backend.natural_key(replace(item.draft, parent=parent)))
        if place in places:
            yield FieldError(f"/items/{index}/name", "duplicate", message("duplicate_item", value=item.draft.name))
        places.add(place)
    for index, item in enumerate(items):
        if item.parent_ref is None:
            continue
        parent_item = by_ref.get(item.parent_ref)
        if parent_item is None or (parent_item.backend, parent_item.draft.scope) != (item.backend, item.draft.scope):
            yield FieldError(
                f"/items/{index}/parent_ref", "choice", message("parent_ref_unknown", value=item.parent_ref)
            )
        elif _depth(item, by_ref) > len(items):
            yield FieldError(f"/items/{index}/parent_ref", "choice", message("parent_cycle", value=item.ref))


def in_order(items: Sequence[ParsedItem]) -> list[ParsedItem]:
    """Return the items, parents before children, otherwise in their order."""
    by_ref = {item.ref: item for item in items}
    return sorted(items, key=lambda item: _depth(item, by_ref))


def _depth(item: ParsedItem, by_ref: Mapping[str, ParsedItem]) -> int:
    """Return the number of items above an item; more than there are if it is below itself."""
    depth = 0
    while item.parent_ref is not None and item.parent_ref in by_ref and depth <= len(by_ref):
        item, depth = by_ref[item.parent_ref], depth + 1
    return depth


def _to_defaults(document: Mapping[str, Any], errors: Sequence[FieldError]) -> list[FieldError]:
    """Return the errors, those in values that come from the defaults at the defaults, each once."""
    result: dict[tuple[str, str], FieldError] = {}
    for error in errors:
        pointer, parts = error.pointer, error.pointer.split("/", 4)
        if len(parts) > 3 and parts[1] == "items" and parts[3] in _taken(document, int(parts[2])):  # noqa: PLR2004
            pointer = "/".join(["", "defaults", *parts[3:]])
        result.setdefault((pointer, error.code), replace(error, pointer=pointer))
    return list(result.values())


def _taken(document: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    item = document["items"][index]
    return default_values(item, document.get("defaults")) if isinstance(item, dict) else {}
