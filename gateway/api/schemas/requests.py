"""What callers send: strict schemas that load it, and from which the OpenAPI document is made.

Messages are codes: `loading.py` puts words to them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import RAISE, Schema, fields, validate

from gateway.api.schemas.fields import CODES, Fixed, Flag, Identifier, Name, Owners, PageSize, Text
from gateway.hotpath.schemas import Loader


class Strict(Schema):
    """What a caller sends: the unknown is refused."""

    class Meta:
        """Refuse what is not declared."""

        unknown = RAISE

    error_messages: ClassVar[dict[str, str]] = {"unknown": "unknown_field", "type": "type"}  # type: ignore[misc] # read as a class's


def _attributes(**kwargs: Any) -> fields.Dict:
    return fields.Dict(keys=Text(), values=fields.Raw(allow_none=True), error_messages=CODES, **kwargs)


class DraftSchema(Strict):
    """A module to be created; what is required beyond the backend, its capabilities say."""

    backend = Text(required=True, metadata={"description": "The connection's name, see /backends."})
    scope = Identifier(metadata={"description": "CMDB: the business. ProjectMan: the project."})
    parent = Identifier(allow_none=True, metadata={"description": "CMDB: the set. ProjectMan: a module, or null."})
    name = Name(metadata={"description": "White space around it is taken off."})
    description = Text(allow_none=True)
    owners = Owners(allow_none=True)
    attributes = _attributes()


class PatchSchema(Strict):
    """What is to change (RFC 7396): left out, a field stays as it is; null empties it."""

    name = Name()
    description = Text(allow_none=True)
    owners = Owners(allow_none=True)
    attributes = _attributes()
    id = Fixed()
    backend = Fixed()
    native_id = Fixed()
    scope = Fixed()
    parent = Fixed()
    depth = Fixed()
    has_children = Fixed()
    built_in = Fixed()
    created_at = Fixed()
    updated_at = Fixed()
    unavailable = Fixed()


def _choice(*words: str, **kwargs: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(words, error="choice"), metadata={"enum": list(words)}, **kwargs)


class CreateQuery(Strict):
    """How to create."""

    if_exists = _choice("error", "adopt", load_default="error")
    validate_only = Flag(load_default=False)


class DeleteQuery(Strict):
    """How to delete."""

    cascade = Flag(load_default=False)


class NoQuery(Strict):
    """An address that takes no parameters."""


class ListQuery(Strict):
    """Which modules to list."""

    backend = Text(required=True)
    scope = Text(required=True)
    parent = Text()
    name = Name()
    include = _choice("built_in")
    page_size = PageSize(load_default=50)
    page_token = Text()


Loaded = dict[str, Any]

DRAFT: Final = Loader(DraftSchema())
PATCH: Final = Loader(PatchSchema())
CREATE_QUERY: Final = Loader(CreateQuery())
DELETE_QUERY: Final = Loader(DeleteQuery())
LIST_QUERY: Final = Loader(ListQuery())
NO_QUERY: Final = Loader(NoQuery())
