"""CMDB's format of a module: documents read into ours, drafts and patches written into theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from gateway.backends.cmdb.routes import Place
from gateway.domain.capabilities import INT64_MAX
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch, Owner
from gateway.hotpath.schemas import Dumper, Loader


class Instant(fields.Field[datetime | None]):
    """RFC 3339, fractions of any length, zone as the version writes it; what is no instant reads as null."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime | None:  # noqa: ARG002 - marshmallow's signature
        try:
            instant = datetime.fromisoformat(value)
            return instant.astimezone(UTC) if instant.tzinfo else None
        except (TypeError, ValueError, OverflowError):  # the last: year 1 or 9999 in a zone of its own
            return None


class ModuleDocument(Schema):
    """A module as CMDB tells it; only the id is certain to be there (old versions answer nothing else)."""

    class Meta:
        """Ignore what we do not know: custom attributes appear in any row."""

        unknown = EXCLUDE

    bk_module_id = fields.Integer(required=True, strict=True, validate=validate.Range(1, INT64_MAX))
    bk_set_id = fields.Integer(strict=True, validate=validate.Range(0, INT64_MAX))
    bk_module_name = fields.String()
    operator = fields.String(allow_none=True)
    default = fields.Integer(strict=True)
    bk_created_by = fields.String(allow_none=True)
    create_time = Instant(allow_none=True)
    last_time = Instant(allow_none=True)


class Users(fields.Field[Sequence[str] | None]):
    """Owners as CMDB keeps them: user names joined by commas; none is the empty text."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:  # noqa: ARG002 - the same
        return ",".join(value or ())


class ChangesDocument(Schema):
    """What is sent to create or change a module; what is not given is not sent."""

    bk_parent_id = fields.Integer(attribute="parent")
    bk_module_name = fields.String(attribute="name")
    operator = Users(attribute="owners")


_DOCUMENT: Final = Loader(ModuleDocument())
_CHANGES: Final = Dumper(ChangesDocument())


def write_draft(draft: ModuleDraft) -> dict[str, Any]:
    """Return the attributes of a new module; the parent is sent although the set stands in the path, and is equal."""
    given: dict[str, Any] = {"parent": draft.parent, "name": draft.name}
    if draft.owners is not None:
        given["owners"] = draft.owners
    return {**_CHANGES.dump(given), **draft.attributes}


def write_patch(patch: ModulePatch) -> dict[str, Any]:
    """Return the attributes that change."""
    given = {"name": patch.name, "owners": patch.owners}
    changes = _CHANGES.dump({key: value for key, value in given.items() if value is not UNSET})
    return {**changes, **patch.attributes}


def read_module(
    backend: str, place: Place, document: Any, *, attributes: Sequence[str], draft: ModuleDraft | None = None
) -> Module:
    """Read one document; what it leaves out is taken from the draft or null. Raises ValueError where it is none."""
    try:
        told = _DOCUMENT.load(document)
    except ValidationError as error:
        raise ValueError(str(error.messages)) from None
    name = told.get("bk_module_name") or (draft.name if draft else None)
    parent = told.get("bk_set_id") or place.set
    if not name or not parent:
        raise ValueError("name or set is missing")
    told_of = {
        "owners": "operator" in told,
        "created_at": told.get("create_time") is not None,
        "updated_at": told.get("last_time") is not None,
    }
    ref = f"{place.biz}.{parent}.{told['bk_module_id']}"
    return Module(
        backend=backend,
        ref=ref,
        native_id=str(told["bk_module_id"]),
        scope=str(place.biz),
        parent=str(parent),
        name=name,
        owners=tuple(Owner(user) for user in (told.get("operator") or "").split(",") if user),
        attributes={key: document[key] for key in attributes if key in document},
        depth=1,
        has_children=False,
        built_in=bool(told.get("default", 0)),
        created_at=told.get("create_time"),
        updated_at=told.get("last_time"),
        created_by=told.get("bk_created_by"),
        unavailable=("description", *(ours for ours, known in told_of.items() if not known)),
    )
