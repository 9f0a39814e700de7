"""The file that `module-gateway twin --seed` reads: its format, and every error in it.

The file holds one JSON object: the seed of a twin, or the seeds of both under the keys `cmdb` and `projectman`. A
member replaces that of the default seed as a whole (`cmdb/seed.py`, `projectman/default_seed.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from marshmallow import INCLUDE, RAISE, Schema, fields, validate

_MESSAGES: Final = {"required": "is missing", "null": "must not be null", "invalid": "has the wrong type"}


class InvalidSeedFile(Exception):
    """The file cannot be used; `errors` has a line for each error."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def _text(**kwargs: Any) -> fields.String:
    return fields.String(error_messages={**_MESSAGES, "invalid": "must be a string"}, **kwargs)


def _number(**kwargs: Any) -> fields.Integer:
    in_range = validate.Range(min=0, error="must be at least 0")
    return fields.Integer(
        strict=True, validate=in_range, error_messages={**_MESSAGES, "invalid": "must be a whole number"}, **kwargs
    )


class _Flag(fields.Field[bool]):
    """true or false."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, bool):
            raise self.make_error("validator_failed")
        return value


def _flag() -> _Flag:
    return _Flag(error_messages={**_MESSAGES, "validator_failed": "must be true or false"})


def _object(**kwargs: Any) -> fields.Dict:
    return fields.Dict(keys=_text(), error_messages={**_MESSAGES, "invalid": "must be an object"}, **kwargs)


def _list(item: type[Schema], **kwargs: Any) -> fields.List[Any]:
    return fields.List(
        fields.Nested(item), error_messages={**_MESSAGES, "invalid": "must be a list of objects"}, **kwargs
    )


class _Part(Schema):
    """An object of a seed: it refuses unknown members."""

    class Meta:
        unknown = RAISE

    error_messages: dict[str, str] = {"unknown": "is not a member of a seed here", "type": "must be an object"}  # noqa: RUF012 - marshmallow reads it off the class


class _Row(_Part):
    """A row of CMDB: it may have any attribute."""

    class Meta:
        unknown = INCLUDE


class _CmdbModule(_Row):
    bk_module_id = _number(required=True)
    bk_module_name = _text(required=True)
    default = _number()
    hosts = _number()
    associated = _flag()


class _CmdbSet(_Row):
    bk_set_id = _number(required=True)
    bk_set_name = _text(required=True)
    default = _number()
    set_template_id = _number()
    modules = _list(_CmdbModule)


class _Business(_Row):
    bk_biz_id = _number(required=True)
    bk_biz_name = _text(required=True)
    sets = _list(_CmdbSet)


class _ServiceCategory(_Part):
    id = _number(required=True)
    bk_biz_id = _number(required=True)
    default = _flag()


class _ServiceTemplate(_Part):
    id = _number(required=True)
    name = _text(required=True)
    bk_biz_id = _number(required=True)
    service_category_id = _number(required=True)
    fixed = _object()


class _Attribute(_Part):
    bk_property_id = _text(required=True)
    bk_property_type = _text(required=True)
    bk_biz_id = _number()
    editable = _flag()
    option = fields.List(_text(), error_messages={**_MESSAGES, "invalid": "must be a list of strings"})
    unique = _flag()


class _Rule(_Row):
    fault = _text(required=True)


class _CmdbSeed(_Part):
    version = _text()
    apigw_dialect = _text(allow_none=True)
    iam = _flag()
    apps = _object(values=_text(), allow_none=True)
    users = _object(values=_object())
    next_module_id = _number()
    businesses = _list(_Business)
    service_categories = _list(_ServiceCategory)
    service_templates = _list(_ServiceTemplate)
    attributes = _list(_Attribute)
    faults = _list(_Rule)


class _Module(_Part):
    module_name = _text(required=True)
    owner = _text(required=True)
    description = _text(allow_none=True)
    module_id = _number(allow_none=True)
    children = fields.List(
        fields.Nested(lambda: _Module()),  # noqa: PLW0108 - the class is not defined yet
        error_messages={**_MESSAGES, "invalid": "must be a list of objects"},
    )


class _Member(_Part):
    user_id = _text(required=True)
    user_num_id = _number(required=True)
    user_name = _text(required=True)
    nick_name = _text(required=True)
    role_id = fields.Integer(strict=True, error_messages={**_MESSAGES, "invalid": "must be a whole number"})


class _Project(_Part):
    project_id = _text(required=True)
    project_num_id = _number(required=True)
    project_name = _text(required=True)
    members = _list(_Member, required=True)
    modules = _list(_Module)
    description = _text()
    project_type = _text()


class _IamUser(_Part):
    domain = _text(required=True)
    user_name = _text(required=True)
    password = _text(required=True)
    user_id = _text(required=True)
    user_num_id = _number(required=True)
    nick_name = _text(required=True)
    projects = _object(values=_text(), required=True)
    programmatic_access = _flag()


class _Options(_Part):
    token_seconds = _number()
    token_length = _number()
    children = _text()
    omitted_description = _text()
    delete_with_children = _text()
    total = _text()
    max_depth = _number()
    max_modules = _number()
    first_module_id = _number()


class _ProjectManSeed(_Part):
    options = fields.Nested(_Options, error_messages={**_MESSAGES})
    domains = _object(values=_text())
    access_keys = _object()
    iam_users = _list(_IamUser)
    projects = _list(_Project)
    faults = _list(_Rule)


_SCHEMAS: Final[Mapping[str, type[Schema]]] = {"cmdb": _CmdbSeed, "projectman": _ProjectManSeed}


def read_seed_file(path: str, twin: str) -> dict[str, Any]:
    """Return the seed of a twin; raises InvalidSeedFile with every error."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSeedFile([f"{path}: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:  # not UTF-8, or not JSON
        raise InvalidSeedFile([f"{path}: is not JSON: {error}"]) from None
    prefix = ""
    if isinstance(document, dict) and document and document.keys() <= _SCHEMAS.keys():
        prefix, document = f"{twin}.", document.get(twin, {})
    if not isinstance(document, dict):
        raise InvalidSeedFile([f"{path}: {prefix.rstrip('.') or 'the file'} must hold a JSON object"])
    errors = _SCHEMAS[twin]().validate(document)
    if errors:
        raise InvalidSeedFile([f"{path}: {line}" for line in _error_lines(errors, prefix)])
    return document


def _error_lines(messages: Any, path: str) -> Iterator[str]:
    """Yield `path: message` for each of marshmallow's messages; `path` ends with a dot."""
    if not isinstance(messages, dict):
        yield from (f"{path.rstrip('.')}: {message}" for message in messages)
        return
    for key, children in messages.items():
        # "_schema" stands for the object itself, "key" and "value" for the parts of an item of a table.
        name = "" if key in {"_schema", "key", "value"} else f"[{key + 1}]." if isinstance(key, int) else f"{key}."
        yield from _error_lines(children, f"{path.rstrip('.') if isinstance(key, int) else path}{name}")
