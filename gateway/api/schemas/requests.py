"""The schemas of requests, which load them and describe them in the OpenAPI document.

Messages are codes, to which `request_parsing` adds the texts.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import RAISE, Schema, fields, validate

from gateway.api.schemas.fields import (
    ERROR_CODES,
    IdField,
    OwnerList,
    PageSize,
    QueryBoolean,
    ReadOnlyField,
    StringField,
    TrimmedString,
)

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


def _choice_field(*choices: str, **kwargs: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(choices, error="choice"), metadata={"enum": list(choices)}, **kwargs)


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


class LookupQuerySchema(StrictSchema):
    """The query of a lookup."""

    q = StringField(
        load_default="", metadata={"description": "A part of the name, in any case; of an owner also of `path`."}
    )
    page_size = PageSize(load_default=50)
    page_token = StringField()


DRAFT_SCHEMA: Final = DraftSchema()
PATCH_SCHEMA: Final = PatchSchema()
CREATE_QUERY_SCHEMA: Final = CreateQuerySchema()
DELETE_QUERY_SCHEMA: Final = DeleteQuerySchema()
LIST_QUERY_SCHEMA: Final = ListQuerySchema()
LOOKUP_QUERY_SCHEMA: Final = LookupQuerySchema()
NO_QUERY_SCHEMA: Final = NoQuerySchema()
