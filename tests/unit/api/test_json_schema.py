"""The JSON Schema of a create in /backends/{name} agrees with the gateway's validation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError, validators

from gateway.domain.capabilities import strip_whitespace
from tests.unit.api.conftest import capabilities
from tests.unit.api.fake_backend import OWNER, FakeBackend, body
from tests.unit.api.problems import assert_problem


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Match as ECMA-262 defines it: `$` is the end only; Python's also matches before a final line feed."""
    if isinstance(instance, str) and not re.search(pattern.removesuffix("$") + r"\Z", instance, re.ASCII):
        yield ValidationError(f"does not match {pattern}")


def _max_bytes(_validator: Any, maximum: int, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    text = ",".join(instance) if isinstance(instance, list) and all(map(_is_text, instance)) else instance
    if isinstance(text, str) and len(text.encode()) > maximum:
        yield ValidationError(f"is longer than {maximum} bytes")


def _maximum(_validator: Any, maximum: int, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and instance.isascii() and instance.isdigit() and int(instance) > maximum:
        yield ValidationError(f"is more than {maximum}")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_extend: Any = validators.extend  # it has no types
Validator = _extend(Draft202012Validator, {"pattern": _pattern, "x-max-bytes": _max_bytes, "x-maximum": _maximum})


def _values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a property; some break a rule that has no strategy here."""
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    text = st.from_regex(schema["pattern"]) if "pattern" in schema else st.text(max_size=300)
    strategies = {
        "null": st.none(),
        "string": st.sampled_from(schema["enum"]) if "enum" in schema else text,
        "integer": st.integers(schema.get("minimum"), schema.get("maximum")),
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "array": st.lists(_values(schema["items"]), max_size=3) if "items" in schema else st.nothing(),
    }
    return st.one_of(*(strategies[name] for name in types))


def _bodies(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    properties = schema["properties"]
    inner = properties.get("attributes", {"properties": {}})["properties"]
    strategies = {name: _values(value) for name, value in properties.items() if name not in {"backend", "attributes"}}
    if inner:
        strategies["attributes"] = st.fixed_dictionaries(
            {}, optional={name: _values(value) for name, value in inner.items()}
        )
    required = {name: strategies.pop(name) for name in schema["required"] if name in strategies}
    return st.fixed_dictionaries({"backend": st.just(properties["backend"]["const"]), **required}, optional=strategies)


#: Values of wrong types and formats.
UNEXPECTED_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=40),
    st.text("09aZ٣3/.\n\x00 ", max_size=33), st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)  # fmt: skip


def _is_accepted_form(document: dict[str, Any], schema: dict[str, Any]) -> bool:
    """Return whether the body uses a form that the gateway accepts besides the one in the schema."""
    properties, attributes = schema["properties"], document.get("attributes")
    return (
        any(type(document.get(name)) is int for name in ("scope", "parent"))  # ids as integers
        or any(isinstance(owner, dict) for owner in _items(document.get("owners")))  # owners as objects
        or (
            isinstance(name := document.get("name"), str) and strip_whitespace(name) != name
        )  # white space around a name
        or (
            "description" in document and "description" not in properties and document["description"] is None
        )  # null means absent
        or (attributes == {} and "attributes" not in properties)
        or any(
            type(value) is float and value.is_integer() for value in _items(attributes)
        )  # 1.0 is an integer in JSON Schema
    )


def _items(value: object) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


@pytest.fixture(params=["cmdb", "projectman"])
def backend(request: pytest.FixtureRequest) -> FakeBackend:
    backend: FakeBackend = request.getfixturevalue(request.param)
    return backend


@pytest.fixture
def schema(client: FlaskClient, backend: FakeBackend) -> dict[str, Any]:
    """The schema in /backends/{name}."""
    create_schema: dict[str, Any] = client.get(f"/backends/{backend.name}").get_json()["create_schema"]
    return create_schema


def test_valid(schema: dict[str, Any]) -> None:
    """It is a valid JSON Schema of its dialect, and forbids unknown members."""
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False


@settings(max_examples=50, derandomize=True, database=None, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much,
                                 HealthCheck.too_slow])  # fmt: skip
@given(data=st.data())
def test_agrees(client: FlaskClient, backend: FakeBackend, schema: dict[str, Any], data: st.DataObject) -> None:
    """A body is accepted exactly if it is valid under the schema and its x- rules."""
    document = data.draw(_bodies(schema))
    for name in data.draw(st.lists(st.sampled_from([*schema["properties"], "attributes", "extra"]), max_size=1)):
        document[name] = data.draw(UNEXPECTED_VALUES)
    for name in data.draw(
        st.lists(st.sampled_from(schema["required"]), max_size=1) if len(document) % 3 == 0 else st.just([])
    ):
        document.pop(name, None)
    assume(not _is_accepted_form(document, schema))
    _agree(client, backend, schema, document)


def _agree(client: FlaskClient, backend: FakeBackend, schema: dict[str, Any], document: dict[str, Any]) -> None:
    backend.sent.clear()
    backend.modules.clear()
    response = client.post("/modules", json=document)
    errors = [error.message for error in Validator(schema).iter_errors(document)]
    if errors:
        assert_problem(response, 422, response.get_json()["code"])
    assert bool(backend.writes) == (not errors), (document, errors, response.text)


DIGITS = ("0", "1", "01", "-1", "1\n", "١", "2147483647", "2147483648", f"{2**63 - 1}", f"{2**63}", "9" * 19, "")
ATTRIBUTES: dict[str, tuple[Any, ...]] = {
    "service_category_id": (-1, 0, 2**63 - 1, 2**63, "1", True, None),
    "bk_bak_operator": ("", "a,b", "a, b", "u" * 2000, "u" * 2001),
    "bk_module_type": ("", "1", "m" * 64, "m" * 65, "1\n"),
    "remark": ("", 1, 1.5, True, None, [], {}),
    **dict.fromkeys(("service_template_id", "host_apply_enabled", "default", "nope"), (1,)),
}
EDGES: dict[str, tuple[Any, ...]] = {
    "scope": (*DIGITS, "a" * 32, "a" * 31, "a" * 33, f"{'a' * 32}\n", None),
    "parent": (*DIGITS, None),
    "name": ("", "a" * 30, "a" * 31, "a" * 256, "a" * 257, "模" * 30, "模" * 85, "模" * 86, "a b", "a#b", None),
    "description": ("", "d" * 255, "d" * 256, "文" * 255),
    "owners": (
        *([], ["a", "a"], ["a", "b"], ["-a"], [""], [OWNER], [OWNER, OWNER[::-1]], [OWNER, OWNER], [OWNER.upper()]),
        *(["u" * 2000], ["u" * 2001], ["u" * 999, "v" * 1000], ["u" * 1000, "v" * 1000], None),
    ),
    "attributes": tuple({name: value} for name, values in ATTRIBUTES.items() for value in values),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in EDGES.items() for value in values])
def test_agrees_at_limits(
    client: FlaskClient, backend: FakeBackend, schema: dict[str, Any], field: str, value: object
) -> None:
    """Schema and gateway agree on the last value that a rule permits and on the first that it does not."""
    _agree(client, backend, schema, body(backend) | {field: value})


@pytest.mark.parametrize("name", ["cmdb", "projectman"])
def test_fields(client: FlaskClient, name: str) -> None:
    """/backends/{name} describes every field: name, meaning, rules, readable, writable."""
    document, rules = client.get(f"/backends/{name}").get_json(), capabilities(name)
    fields = {field["name"]: field for field in document["fields"]}
    assert fields.keys() == {*rules.fields, *(f"attributes.{field.name}" for field in rules.attributes)}
    for field in (*rules.fields.values(), *rules.attributes):
        described = fields[field.name if field.name in fields else f"attributes.{field.name}"]
        assert (described["required"], described["readable"]) == (field.required, field.readable)
        assert described["writable"] == list(field.writable)
        assert described["meaning"] == field.description != ""
        Draft202012Validator.check_schema(described["schema"])
    assert (document["scope"], document["parent"]) == (rules.scope.description, rules.parent.description)
    assert document["settle_seconds"] == rules.settle_seconds
    assert (document["limits"], document["notes"]) == (dict(rules.limits), list(rules.notes))
