"""The schemas of requests, which load them and describe them in the OpenAPI document.

Messages are codes, to which `request_parsing` adds the texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate, validates_schema

from gateway.api.schemas.fields import (
    ERROR_CODES,
    FilterText,
    IdField,
    OwnerList,
    PageSize,
    QueryBoolean,
    ReadOnlyField,
    SequenceNumber,
    StringField,
    TrimmedString,
)
from gateway.domain.operation import State

ParsedData = dict[str, Any]


class StrictSchema(Schema):
    """A schema that refuses unknown members."""

    class Meta:
        """Marshmallow's options."""

        unknown = RAISE

    error_messages: ClassVar[dict[str, str]] = {"unknown": "unknown_field", "type": "type"}  # type: ignore[misc] # marshmallow reads it off the class


def _attributes_field() -> fields.Dict:
    return fields.Dict(keys=StringField(), values=fields.Raw(allow_none=True), error_messages=ERROR_CODES)


class DraftSchema(StrictSchema):
    """A module to create; the connection's capabilities say which fields are required."""

    backend = StringField(required=True, metadata={"description": "The connection's name, see /backends."})
    scope = IdField(metadata={"description": "CMDB: the business. ProjectMan: the project."})
    parent = IdField(allow_none=True, metadata={"description": "CMDB: the set. ProjectMan: a module, or null."})
    name = TrimmedString(metadata={"description": "White space around it is taken off."})
    description = StringField(allow_none=True)
    owners = OwnerList(allow_none=True)
    attributes = _attributes_field()


class PatchSchema(StrictSchema):
    """Changes of a module (RFC 7396): an absent member stays as it is, null empties it."""

    name = TrimmedString()
    description = StringField(allow_none=True)
    owners = OwnerList(allow_none=True)
    attributes = _attributes_field()
    id = ReadOnlyField()
    backend = ReadOnlyField()
    native_id = ReadOnlyField()
    scope = ReadOnlyField()
    parent = ReadOnlyField()
    depth = ReadOnlyField()
    has_children = ReadOnlyField()
    built_in = ReadOnlyField()
    created_at = ReadOnlyField()
    updated_at = ReadOnlyField()
    unavailable = ReadOnlyField()
    etag = ReadOnlyField()


def _choice_field(*choices: str, **kwargs: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(choices, error="choice"), metadata={"enum": list(choices)}, **kwargs)


class BatchDefaultsSchema(StrictSchema):
    """What the items leave out; an item that names another backend takes nothing from it."""

    backend = StringField()
    scope = IdField()
    parent = IdField(allow_none=True)
    description = StringField(allow_none=True)
    owners = OwnerList(allow_none=True)
    attributes = _attributes_field()


_DEFAULT_FIELDS: Final = frozenset(BatchDefaultsSchema().fields)


class BatchItemSchema(DraftSchema):
    """One create of a batch."""

    ref = StringField(
        validate=validate.Regexp(r"[A-Za-z0-9._-]{1,64}\Z", error="ref"),
        metadata={"description": "Names the item, uniquely; its index by default. Required with Idempotency-Key."},
    )
    parent_ref = StringField(
        metadata={"description": "Instead of `parent`: the ref of another item, whose module becomes the parent."}
    )


class BatchSchema(StrictSchema):
    """Many creates."""

    defaults = fields.Nested(BatchDefaultsSchema)
    items = fields.List(
        fields.Nested(BatchItemSchema),
        required=True,
        validate=validate.Length(1, 100, error="batch_size"),
        error_messages=ERROR_CODES,
    )

    @pre_load
    def fill_in_defaults(self, data: Any, **_kwargs: Any) -> Any:
        """Return the document with the defaults in each item that takes them, and a ref in each."""
        if not isinstance(data, dict) or not isinstance(data.get("items"), list):
            return data
        defaults = data.get("defaults")
        items = [
            {**default_values(item, defaults), "ref": f"{index}", **item} if isinstance(item, dict) else item
            for index, item in enumerate(data["items"])
        ]
        return {**data, "items": items}


def default_values(item: Mapping[str, Any], defaults: Any) -> dict[str, Any]:
    """Return what an item takes from the defaults of its batch."""
    if not isinstance(defaults, dict) or item.get("backend", defaults.get("backend")) != defaults.get("backend"):
        return {}
    own = {*item, *(("parent",) if "parent_ref" in item else ())}
    return {name: value for name, value in defaults.items() if name in _DEFAULT_FIELDS and name not in own}


class CreateQuerySchema(StrictSchema):
    """The query of a create."""

    if_exists = _choice_field("error", "adopt", load_default="error")
    validate_only = QueryBoolean(load_default=False)


class DeleteQuerySchema(StrictSchema):
    """The query of a delete."""

    cascade = QueryBoolean(load_default=False)


class NoQuerySchema(StrictSchema):
    """The query of an endpoint without parameters."""


class ListQuerySchema(StrictSchema):
    """The query of a list of modules."""

    backend = StringField(required=True)
    scope = StringField(required=True)
    parent = StringField()
    name = TrimmedString()
    include = _choice_field("built_in")
    page_size = PageSize(load_default=50)
    page_token = StringField()


class StateList(StringField):
    """States of operations, separated by commas."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        names = super()._deserialize(value, attr, data, **kwargs).split(",")
        if not set(names) <= {state.value for state in State}:
            raise ValidationError("choice")
        return [State(name) for name in dict.fromkeys(names)]


class OperationsQuerySchema(StrictSchema):
    """The query of a list of operations."""

    state = StateList(metadata={"description": f"One or more of {', '.join(state.value for state in State)}."})
    backend = FilterText()
    scope = FilterText()
    page_size = PageSize(load_default=50)
    page_token = StringField()


class LookupQuerySchema(StrictSchema):
    """The query of a lookup."""

    q = StringField(
        load_default="", metadata={"description": "A part of the name, in any case; of an owner also of `path`."}
    )
    page_size = PageSize(load_default=50)
    page_token = StringField()


class ChangesQuerySchema(StrictSchema):
    """The query of the change log."""

    after = SequenceNumber(load_default=0, metadata={"description": "The `next_after` of the page before."})
    backend = FilterText()
    scope = FilterText()
    module = FilterText()
    page_size = PageSize(load_default=50)


class VerdictSchema(StrictSchema):
    """A person's verdict on a create."""

    verdict = _choice_field("applied", "not_applied", required=True, error_messages=ERROR_CODES)
    module = StringField(metadata={"description": "The id of the module that the create made; only with `applied`."})
    reason = TrimmedString(required=True, validate=validate.Length(1, 500, error="length"))

    @validates_schema
    def check_module(self, data: ParsedData, **_kwargs: Any) -> None:
        """Require the module of an applied create, and none otherwise."""
        if data["verdict"] == "applied" and "module" not in data:
            raise ValidationError("required", "module")
        if data["verdict"] != "applied" and "module" in data:
            raise ValidationError("unknown_field", "module")


DRAFT_SCHEMA: Final = DraftSchema()
PATCH_SCHEMA: Final = PatchSchema()
BATCH_SCHEMA: Final = BatchSchema()
CREATE_QUERY_SCHEMA: Final = CreateQuerySchema()
DELETE_QUERY_SCHEMA: Final = DeleteQuerySchema()
LIST_QUERY_SCHEMA: Final = ListQuerySchema()
OPERATIONS_QUERY_SCHEMA: Final = OperationsQuerySchema()
CHANGES_QUERY_SCHEMA: Final = ChangesQuerySchema()
VERDICT_SCHEMA: Final = VerdictSchema()
LOOKUP_QUERY_SCHEMA: Final = LookupQuerySchema()
NO_QUERY_SCHEMA: Final = NoQuerySchema()
