"""CMDB's format of a module: one schema loads its documents and dumps drafts and patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from gateway.backends.cmdb.client import ModulePath
from gateway.domain.capabilities import INT64_MAX, Change, FieldSpec, strip_whitespace
from gateway.domain.errors import TemplateManaged
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch, Owner

_POSITIVE: Final = validate.Range(1, INT64_MAX)
_NOT_NEGATIVE: Final = validate.Range(0, INT64_MAX)


class CommaSeparatedUsers(fields.Field[Sequence[Owner]]):
    """Owners as user names joined by commas; the empty string means no owner."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Sequence[Owner]:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, str):
            raise ValidationError("Not a string.")
        return tuple(Owner(user) for user in value.split(",") if user)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:  # noqa: ARG002 - marshmallow's signature
        return ",".join(value or ())


class LenientDateTime(fields.Field[datetime | None]):
    """RFC 3339 with any number of fraction digits and any zone; every other value loads as None."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime | None:  # noqa: ARG002 - marshmallow's signature
        try:
            time = datetime.fromisoformat(value)
            return time.astimezone(UTC) if time.tzinfo else None
        except (TypeError, ValueError, OverflowError):  # OverflowError: year 1 or 9999 in another zone than UTC
            return None


def _id_or_none(number: int) -> str | None:
    return str(number) if number else None


class ModuleSchema(Schema):
    """A module: CMDB's names are the data keys, ours the attributes.

    Only the id is always present; old versions return nothing else after a create.
    """

    class Meta:
        """Ignore unknown fields: every row may contain custom attributes."""

        unknown = EXCLUDE

    native_id = fields.Integer(
        data_key="bk_module_id", strict=True, required=True, validate=_POSITIVE, post_load=str, load_only=True
    )
    name = fields.String(data_key="bk_module_name")
    parent = fields.Integer(
        data_key="bk_set_id", strict=True, validate=_NOT_NEGATIVE, post_load=_id_or_none, load_only=True
    )
    parent_to_write = fields.Integer(data_key="bk_parent_id", attribute="parent", dump_only=True)
    owners = CommaSeparatedUsers(data_key="operator", allow_none=True)
    created_at = LenientDateTime(data_key="create_time", allow_none=True, load_only=True)
    updated_at = LenientDateTime(data_key="last_time", allow_none=True, load_only=True)
    created_by = fields.String(data_key="bk_created_by", allow_none=True, load_only=True)
    built_in = fields.Integer(data_key="default", strict=True, post_load=bool, load_only=True)

    def get_attribute(self, obj: Mapping[str, Any], attr: str, default: Any) -> Any:
        """Return the value of a key such as `name` or `attributes.team`.

        marshmallow's own look-up also returns methods of a dict, for an attribute named `items`.
        """
        group, _, key = attr.rpartition(".")
        return (obj[group] if group else obj).get(key, default)


class BusinessSchema(Schema):
    """A business; loads into the values of a LookupItem."""

    class Meta:
        """Ignore unknown fields: every row may contain custom attributes."""

        unknown = EXCLUDE

    id = fields.Integer(data_key="bk_biz_id", strict=True, required=True, validate=_POSITIVE, post_load=str)
    name = fields.String(data_key="bk_biz_name", required=True)


def _template_reason(template_id: int | None) -> str | None:
    return TemplateManaged.code if template_id else None


class SetSchema(Schema):
    """A set; loads into the values of a LookupItem. CMDB refuses new modules in a set made from a template."""

    class Meta:
        """Ignore unknown fields: every row may contain custom attributes."""

        unknown = EXCLUDE

    id = fields.Integer(data_key="bk_set_id", strict=True, required=True, validate=_POSITIVE, post_load=str)
    name = fields.String(data_key="bk_set_name", required=True)
    why = fields.Integer(data_key="set_template_id", strict=True, allow_none=True, post_load=_template_reason)


def build_module_schema(attributes: Sequence[FieldSpec]) -> Schema:
    """Return the schema of a connection: ModuleSchema with one more field for each attribute."""
    attribute_fields: dict[str, fields.Field[Any]] = {
        f"attribute_{spec.name}": fields.Raw(
            data_key=spec.name, attribute=f"attributes.{spec.name}", allow_none=True, load_only=not spec.writable
        )
        for spec in attributes
    }
    return ModuleSchema.from_dict(attribute_fields, name="ConnectionModuleSchema")()


def normalize(change: Change) -> Change:
    """Return a draft or patch as CMDB stores it.

    CMDB trims text (instance_validate.go). The service category 0 is left out of a draft: it stands for CMDB's default.
    """
    if not change.attributes:
        return change
    is_draft = isinstance(change, ModuleDraft)
    attributes = {
        name: strip_whitespace(value) if isinstance(value, str) else value
        for name, value in change.attributes.items()
        if not (is_draft and name == "service_category_id" and value == 0)
    }
    return replace(change, attributes=attributes)


def dump_draft(schema: Schema, draft: ModuleDraft) -> dict[str, Any]:
    """Return the attributes of a new module; CMDB requires bk_parent_id although it equals the set of the path."""
    values: dict[str, Any] = {"parent": draft.parent, "name": draft.name, "attributes": draft.attributes}
    return _dump(schema, values if draft.owners is None else {**values, "owners": draft.owners})


def dump_patch(schema: Schema, patch: ModulePatch) -> dict[str, Any]:
    """Return the attributes that change; owners of None are written as the empty string."""
    values = {"name": patch.name, "owners": patch.owners, "attributes": patch.attributes}
    return _dump(schema, {key: value for key, value in values.items() if value is not UNSET})


def load_module(
    schema: Schema, document: Any, *, backend: str, path: ModulePath, draft: ModuleDraft | None = None
) -> Module:
    """Return a module; name and set are taken from the request if the document does not contain them.

    Raises marshmallow's ValidationError if the document is not a module.
    """
    data = schema.load(document)
    name = data.pop("name", None) or (draft.name if draft else None)
    parent = data.pop("parent", None) or _id_or_none(path.set)
    if not name or not parent:
        raise ValidationError("name or set is missing")
    is_available = {
        "owners": "owners" in data,
        "created_at": data.get("created_at") is not None,
        "updated_at": data.get("updated_at") is not None,
        "attributes": "attributes" in data,
    }
    data["owners"] = data.get("owners") or ()
    return Module(
        **data,
        backend=backend,
        ref=f"{path.biz}.{parent}.{data['native_id']}",
        scope=str(path.biz),
        parent=parent,
        name=name,
        depth=1,
        has_children=False,
        unavailable=("description", *(field for field, available in is_available.items() if not available)),
    )


def _dump(schema: Schema, values: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = schema.dump(values)
    return document
