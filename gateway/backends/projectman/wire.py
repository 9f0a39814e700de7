"""ProjectMan's format of a module: replies and trees read into ours, drafts and patches written into theirs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from gateway.domain.capabilities import INT64_MAX
from gateway.domain.module import Module, ModuleDraft, Owner

_POSITIVE: Final = validate.Range(1, INT64_MAX)


class Whole(fields.Integer):
    """An integer, or one in digits; half a module there is not, and cutting it off would name another."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, float) and not value.is_integer():
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class OwnerDocument(Schema):
    """Who owns a module, as ProjectMan tells it."""

    class Meta:
        """Ignore what we do not know."""

        unknown = EXCLUDE

    user_id = fields.String(allow_none=True)
    user_name = fields.String(allow_none=True)
    nick_name = fields.String(allow_none=True)


class ModuleDocument(Schema):
    """A module in a reply or a node of a list's tree; only id and name are certain to be there."""

    class Meta:
        """Ignore what we do not know; `children` are walked by hand."""

        unknown = EXCLUDE

    module_id = Whole(required=True, validate=_POSITIVE)
    module_name = fields.String(required=True)
    description = fields.String(allow_none=True)
    owner = fields.Nested(OwnerDocument, allow_none=True)
    parent_module_id = Whole(allow_none=True)
    deepth = fields.Integer(allow_none=True)
    is_parent = fields.Boolean(allow_none=True)


class OwnerReference(Schema):
    """The owner as it is sent: by id."""

    user_id = fields.String(attribute="owner")


class ChangesDocument(Schema):
    """What is sent to create or update a module; what is not given is not sent."""

    module_name = fields.String(attribute="name")
    owner = fields.Function(lambda values: {"user_id": values["owner"]})
    description = fields.String()
    parent_module_id = fields.Integer(attribute="parent")


_DOCUMENT: Final = ModuleDocument()
_CHANGES: Final = ChangesDocument()


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose modules are read: the connection and the project."""

    backend: str
    project: str


#: A field of a node, and what it must say.
Holding = tuple[Literal["module_id", "module_name"], str]


def write(name: str, owner: str, description: str | None, parent: str | None = None) -> Mapping[str, Any]:
    """Return the body of a create or update; a description of None is left out."""
    given = {"name": name, "owner": owner, "description": description, "parent": parent}
    document: dict[str, Any] = _CHANGES.dump({key: value for key, value in given.items() if value is not None})
    return document


def read_module(origin: Origin, document: Any, draft: ModuleDraft | None = None) -> Module:
    """Read one document; a reply to a create tells no place, the draft does. Raises ValueError where it is none."""
    try:
        told = _DOCUMENT.load(document)
    except ValidationError as error:
        raise ValueError(str(error.messages)) from None
    parent = draft.parent if draft else _text(told.get("parent_module_id"))
    depth = (None if parent else 1) if draft else told.get("deepth")
    unavailable = {
        "description": "description" not in told,
        "owners": not (told.get("owner") or {}).get("user_id"),
        "depth": depth is None,
        "created_at": True,
        "updated_at": True,
    }
    return Module(
        backend=origin.backend,
        ref=f"{origin.project}.{told['module_id']}",
        native_id=str(told["module_id"]),
        scope=origin.project,
        parent=parent,
        name=told["module_name"],
        description=told.get("description"),
        owners=_owners(told.get("owner") or {}),
        depth=depth,
        has_children=False if draft else told.get("is_parent"),
        unavailable=tuple(field for field, missing in unavailable.items() if missing),
    )


def read_tree(origin: Origin, nodes: list[Any]) -> Iterator[Module]:
    """Flatten the nodes of one page, depth first, parents before children; raises ValueError where one is none.

    Whether `children` holds the next level or all descendants is not documented; both are read. The parent is what
    the node says, else the node around it.
    """
    for node in nodes:
        below: dict[str, list[Module]] = {}
        top = _collect(origin, node, below)
        yield from _depth_first(top, below, level=1)


def branches(nodes: list[Any], holding: Holding | None) -> list[Any]:
    """Return the nodes of one page, or those that hold what is looked for, in themselves or below."""
    return nodes if holding is None else [node for node in nodes if _holds(node, *holding)]


def name_top(node: Any) -> str:
    """Return what tells a node of the top level from the others, whatever it is."""
    return str(node.get("module_id") if isinstance(node, dict) else node)


def _holds(node: Any, field: str, value: str) -> bool:
    """Look through a branch as it came; what is no node is kept, for whoever reads it to refuse."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, dict) or str(each.get(field)) == value:
            return True
        waiting += _children(each)
    return False


def _collect(origin: Origin, node: Any, below: dict[str, list[Module]]) -> Module:
    """Read a node and all below it, listing each under its parent's id."""
    top = read_module(origin, node)
    seen = {top.native_id}
    waiting = deque((child, top.native_id) for child in _children(node))
    while waiting:
        child, around = waiting.popleft()
        module = read_module(origin, child)
        if module.native_id in seen:
            continue
        seen.add(module.native_id)
        module = replace(module, parent=module.parent or around)
        below.setdefault(module.parent or around, []).append(module)
        waiting.extend((grandchild, module.native_id) for grandchild in _children(child))
    for parent in set(below) - seen:  # a parent that the page does not show: keep its children under the top
        below.setdefault(top.native_id, []).extend(below.pop(parent))
    return top


def _depth_first(top: Module, below: Mapping[str, list[Module]], level: int) -> Iterator[Module]:
    waiting = [(top, level)]
    while waiting:
        module, depth = waiting.pop()
        children = below.get(module.native_id, [])
        unavailable = tuple(field for field in module.unavailable if field != "depth")
        yield replace(
            module,
            depth=module.depth or depth,
            has_children=bool(children) or bool(module.has_children),
            unavailable=unavailable,
        )
        waiting += [(child, depth + 1) for child in reversed(children)]


def _children(node: Any) -> list[Any]:
    children = node.get("children") if isinstance(node, dict) else None
    return children if isinstance(children, list) else []


def _owners(told: Mapping[str, Any]) -> tuple[Owner, ...]:
    user_id = told.get("user_id")
    return (Owner(user_id, told.get("user_name"), told.get("nick_name")),) if user_id else ()


def _text(number: int | None) -> str | None:
    return None if not number else str(number)
