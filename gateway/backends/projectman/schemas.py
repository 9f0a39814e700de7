"""ProjectMan's format of a module: replies and trees read into ours, drafts and patches written into theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from gateway.domain.capabilities import INT64_MAX
from gateway.domain.module import Module, ModuleDraft, Owner
from gateway.hotpath.schemas import Dumper, Loader

_POSITIVE: Final = validate.Range(1, INT64_MAX)


class Whole(fields.Integer):
    """An integer, or one in digits; half a module there is not, and cutting it off would name another."""

    as_is = int

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


_DOCUMENT: Final = Loader(ModuleDocument())
_CHANGES: Final = Dumper(ChangesDocument())


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose modules are read: the connection and the project."""

    backend: str
    project: str


def write(name: str, owner: str, description: str | None, parent: str | None = None) -> Mapping[str, Any]:
    """Return the body of a create or update; a description of None is left out."""
    given = {"name": name, "owner": owner, "description": description, "parent": parent}
    return _CHANGES.dump({key: value for key, value in given.items() if value is not None})


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


def _owners(told: Mapping[str, Any]) -> tuple[Owner, ...]:
    user_id = told.get("user_id")
    return (Owner(user_id, told.get("user_name"), told.get("nick_name")),) if user_id else ()


def _text(number: int | None) -> str | None:
    return None if not number else str(number)
