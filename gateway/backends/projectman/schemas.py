"""ProjectMan's format of a module: one schema loads responses and nodes of a list, and dumps request bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate

from gateway.domain.capabilities import INT64_MAX, Change
from gateway.domain.errors import NotSupported
from gateway.domain.lookup import LookupItem
from gateway.domain.module import Module, ModuleDraft, ModulePatch, Owner


class SingleOwner(fields.Field[Sequence[Owner]]):
    """The owner: an object with id and names when it is loaded, only the id when it is dumped."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Sequence[Owner]:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, dict):
            raise ValidationError("Not an object.")
        user_id, *names = (value.get(key) for key in ("user_id", "user_name", "nick_name"))
        if not all(text is None or isinstance(text, str) for text in (user_id, *names)):
            raise ValidationError("Not an object of strings.")
        return (Owner(user_id, *names),) if user_id else ()

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Mapping[str, str]:  # noqa: ARG002 - marshmallow's signature
        return {"user_id": value}


def _refuse_fraction(value: Any) -> Any:
    """Refuse 1.5, of which marshmallow's Integer would make 1, the id of another module."""
    if isinstance(value, float) and not value.is_integer():
        raise ValidationError("Not an integer.")
    return value


def _id_or_none(number: int) -> str | None:
    return str(number) if number else None


class ModuleSchema(Schema):
    """A module: ProjectMan's names are the data keys, ours the attributes. Only id and name are always present."""

    class Meta:
        """Ignore unknown fields; tree.py reads `children`."""

        unknown = EXCLUDE

    native_id = fields.Integer(
        data_key="module_id",
        required=True,
        load_only=True,
        pre_load=_refuse_fraction,
        validate=validate.Range(1, INT64_MAX),
        post_load=str,
    )
    name = fields.String(data_key="module_name", required=True)
    owners = SingleOwner(data_key="owner", allow_none=True)
    description = fields.String(allow_none=True)
    parent = fields.Integer(
        data_key="parent_module_id", allow_none=True, pre_load=_refuse_fraction, post_load=_id_or_none
    )
    depth = fields.Integer(data_key="deepth", allow_none=True, load_only=True)
    has_children = fields.Boolean(data_key="is_parent", allow_none=True, load_only=True)


class _LookupSchema(Schema):
    """An element of a list; loads into a LookupItem."""

    class Meta:
        """Ignore unknown fields."""

        unknown = EXCLUDE

    @post_load
    def make_item(self, data: dict[str, Any], **_kwargs: Any) -> LookupItem:
        """Fill in the names that the element lacks."""
        name = data.get("name") or data["id"]
        return LookupItem(id=data["id"], name=name, path=data.get("path") or name, why=data.get("why"))


def _project_type_reason(project_type: str | None) -> str | None:
    return NotSupported.code if project_type and project_type != "scrum" else None


class ProjectSchema(_LookupSchema):
    """A project; the modules of API v4 are those of Scrum projects."""

    id = fields.String(data_key="project_id", required=True, validate=validate.Length(1))
    name = fields.String(data_key="project_name", allow_none=True)
    why = fields.String(data_key="project_type", allow_none=True, post_load=_project_type_reason)


class MemberSchema(_LookupSchema):
    """A member of a project, who may own its modules."""

    id = fields.String(data_key="user_id", required=True, validate=validate.Length(1))
    name = fields.String(data_key="user_name", allow_none=True)
    path = fields.String(data_key="nick_name", allow_none=True)


_SCHEMA: Final = ModuleSchema()


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """The connection and the project that modules are loaded from."""

    backend: str
    project: str


def fill_in_owner(default_owner: str, change: Change) -> Change:
    """Return a draft or patch with the connection's default owner in place of an empty list, or of null in a patch."""
    is_empty = change.owners == () or (change.owners is None and isinstance(change, ModulePatch))
    return replace(change, owners=(default_owner,)) if default_owner and is_empty else change


def dump_module(name: str, owner: str, description: str | None, parent: str | None = None) -> Mapping[str, Any]:
    """Return the body of a create or update; None is left out."""
    values = {"name": name, "owners": owner, "description": description, "parent": parent}
    document: dict[str, Any] = _SCHEMA.dump({key: value for key, value in values.items() if value is not None})
    return document


def load_module(source: ModuleSource, document: Any, draft: ModuleDraft | None = None) -> Module:
    """Return a module; the response to a create contains no position in the tree, so it is taken from the draft.

    Raises marshmallow's ValidationError if the document is not a module.
    """
    data = {"parent": None, **_SCHEMA.load(document)}
    if draft is not None:
        data |= {"parent": draft.parent, "depth": None if draft.parent else 1, "has_children": False}
    data["owners"] = data.get("owners") or ()
    unavailable = {
        "description": "description" not in data,
        "owners": not data["owners"],
        "depth": data.get("depth") is None,
        "created_at": True,
        "updated_at": True,
    }
    return Module(
        **data,
        backend=source.backend,
        ref=f"{source.project}.{data['native_id']}",
        scope=source.project,
        unavailable=tuple(field for field, is_unavailable in unavailable.items() if is_unavailable),
    )
