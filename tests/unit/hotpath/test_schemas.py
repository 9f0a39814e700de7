"""The short way through a schema ends where marshmallow's own way ends, for every schema that it is used for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from gateway.api.schemas import requests
from gateway.domain.capabilities import INT64_MAX
from gateway.hotpath.schemas import Loader

_LOADED: Final[tuple[Schema, ...]] = (
    requests.DraftSchema(),
    requests.PatchSchema(),
    requests.CreateQuery(),
    requests.DeleteQuery(),
    requests.ListQuery(),
    requests.NoQuery(),
)
_EDGES: Final = st.sampled_from(
    [0, 1, -1, INT64_MAX, INT64_MAX + 1, 1.0, 1.5, True, "1", " a ", "true", "200", b"a", "2020-01-02T03:04:05+08:00",
     "error", "built_in", {"user_id": "u"}, {"user_id": 7}, ["a", "a"], [{"id": "b"}, "c"], {"k": None}],
)  # fmt: skip
_VALUES: Final = st.one_of(
    _EDGES,
    st.none(),
    st.integers(),
    st.text(max_size=3),
    st.recursive(st.text(max_size=2) | st.integers(), lambda inner: st.lists(inner, max_size=2), max_leaves=3),
)


def _documents(schema: Schema) -> st.SearchStrategy[Any]:
    """Draw documents of the schema's own keys, whole and in part, now and then with one more, or no document at all."""
    keys = [field.data_key or name for name, field in schema.fields.items()]
    own = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, _VALUES)) if keys else st.just({})
    likely = {key: _likely(schema.fields[key]) for key in keys}
    whole = st.fixed_dictionaries(likely)
    one_wrong = st.tuples(whole, own).map(lambda both: {**both[0], **dict(list(both[1].items())[:1])})
    return st.one_of(whole, one_wrong, own, st.dictionaries(st.sampled_from([*keys, "odd"]), _VALUES), _VALUES)


def _likely(field: fields.Field[Any]) -> st.SearchStrategy[Any]:
    """Draw what a field is meant for."""
    if isinstance(field, fields.Integer):
        return st.integers(1, 9)
    if isinstance(field, fields.Boolean):
        return st.booleans()
    if isinstance(field, fields.Nested):
        return st.just({"user_id": "u", "user_name": None, "odd": 1})
    if isinstance(field, fields.Dict):
        return st.just({"k": 1})
    return st.sampled_from(["a", "true", "7", "error", "built_in"]) if field.required else _VALUES


def _outcome(load: Any, document: Any) -> tuple[str, Any]:
    """Say what became of a document: what was loaded, or every message and all that was valid."""
    try:
        return "loaded", load(document)
    except ValidationError as error:
        return "refused", (error.messages, error.valid_data)


@pytest.mark.parametrize("schema", _LOADED, ids=lambda schema: type(schema).__name__)
def test_a_loader_is_its_schema(schema: Schema) -> None:
    """Any document is loaded to the same values of the same types, or refused with the same messages."""
    loader = Loader(schema)

    @given(_documents(schema))
    def same(document: Any) -> None:
        short, usual = _outcome(loader.load, document), _outcome(schema.load, document)
        assert short == usual
        assert repr(short[1]) == repr(usual[1])  # 1 is no True and no 1.0

    same()


class Inner(Schema):
    """A nested schema."""

    class Meta:
        """Ignore unknown fields."""

        unknown = EXCLUDE

    user_id = fields.String(allow_none=True)
    user_name = fields.String(allow_none=True)


class Odd(Schema):
    """What no schema of ours has yet: other names, a default, bounds on one side, a rule of another kind."""

    class Meta:
        """Ignore the rest."""

        unknown = EXCLUDE

    told = fields.String(data_key="said", attribute="heard")
    many = fields.Integer(validate=validate.Range(min=2))
    some = fields.Integer(load_default=5, validate=validate.Range(max=9))
    few = fields.Integer(validate=validate.OneOf([1, 2]))
    open_end = fields.Integer(validate=validate.Range(1, 3, max_inclusive=False))
    both = fields.Nested(Inner(), validate=validate.Length(max=1))


@pytest.mark.parametrize(
    "document",
    [
        {}, {"said": "a"}, {"heard": "a"}, {"many": 1}, {"many": 2}, {"many": INT64_MAX * 4}, {"some": 9}, {"some": 10},
        {"some": -(10**30)}, {"few": 2, "some": 1}, {"few": 3, "some": 1}, {"open_end": 2, "some": 1},
        {"open_end": 3, "some": 1}, {"both": {"user_id": "a"}, "some": 1},
        {"both": {"user_id": "a", "user_name": "b"}, "some": 1}, {"said": "a", "many": 3, "some": 1, "odd": None},
    ],
    ids=repr,
)  # fmt: skip
def test_what_a_schema_may_say(document: Mapping[str, Any]) -> None:
    """Other names, defaults, open ranges and rules of other kinds are followed as well."""
    schema = Odd()
    assert _outcome(Loader(schema).load, document) == _outcome(schema.load, document)


class Counting(Schema):
    """A schema that counts how often it is asked."""

    asked = 0

    class Meta:
        """Ignore the rest."""

        unknown = EXCLUDE

    id = fields.Integer(required=True, validate=validate.Range(1, 9))
    name = fields.String(allow_none=True)

    def load(self, *args: Any, **kwargs: Any) -> Any:
        """Load and count."""
        self.asked += 1
        return super().load(*args, **kwargs)


@pytest.mark.parametrize(
    ("document", "asked"),
    [
        ({"id": 1, "name": "a"}, 0), ({"id": 9}, 0), ({"id": 1, "name": None, "more": {}}, 0),
        ({"id": "1"}, 1), ({"id": True}, 1), ({"id": 0}, 1), ({"name": "a"}, 1), ({"id": None}, 1), (None, 1),
    ],
    ids=repr,
)  # fmt: skip
def test_the_plain_takes_the_short_way(document: Any, asked: int) -> None:
    """Marshmallow is asked where something is unusual, and only there."""
    schema = Counting()
    _outcome(Loader(schema).load, document)
    assert schema.asked == asked
