"""Modules loaded from CMDB's documents, of every version, and dumped; documented: cmdb.md §2, §8."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import responses
from marshmallow import ValidationError

from gateway.api.schemas.json_schema import build_field_schema
from gateway.backends.cmdb.capabilities import build_capabilities
from gateway.backends.cmdb.client import ModulePath
from gateway.backends.cmdb.schemas import build_module_schema, dump_draft, dump_patch, load_module, normalize
from gateway.domain.backend import Backend, CallContext
from gateway.domain.capabilities import FieldSpec
from gateway.domain.errors import BackendReplyInvalid, OutcomeUnknown
from gateway.domain.module import Module, ModuleDraft, ModulePatch, Owner
from tests.unit.backends.cmdb.conftest import BASE, DRAFT, SetResponse
from tests.unit.backends.connections import CMDB_MODULE, cmdb_options, envelope, search_response

_CC: Final = f"{BASE}/api/c/compapi/v2/cc"
_TIME: Final = datetime(2022, 2, 22, 12, 25, 19, 49000, UTC)


SCHEMA: Final = build_module_schema([FieldSpec(name="bk_module_type"), FieldSpec(name="team"), FieldSpec(name="items")])


def load(document: Any) -> Module:
    return load_module(SCHEMA, document, backend="cmdb", path=ModulePath(1, 10))


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2022-02-22T12:25:19.049Z", _TIME),  # documented: cmdb.md §0, from 3.14.8
        ("2022-02-22T20:25:19.049+08:00", _TIME),  # documented: cmdb.md §0, up to 3.14.7
        ("2022-02-22T20:25:19.05+08:00", _TIME.replace(microsecond=50000)),  # documented: cmdb.md §8, zeros trimmed
        ("2022-02-22T20:25:19.1+08:00", _TIME.replace(microsecond=100000)),
        ("2022-02-22T12:25:19Z", _TIME.replace(microsecond=0)),
        ("2022-02-22T07:25:19.049123456-05:00", _TIME.replace(microsecond=49123)),
    ],
)
def test_the_times_of_all_versions_load_as_utc(value: str, time: datetime) -> None:
    """Local time with an offset, UTC, and fractions of any length load as UTC."""
    module = load({**CMDB_MODULE, "create_time": value, "last_time": value})
    assert module.created_at == module.updated_at == time
    assert module.created_at is not None
    assert module.created_at.tzinfo is UTC
    assert module.unavailable == ("description",)


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "yesterday", 1645532719, 1.5, True, [], {}, "2022-02-22", "2022-02-22 12:25:19"),
        *("2022-02-30T00:00:00Z", "0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-08:00"),
    ],
)
def test_another_value_is_no_time(value: Any) -> None:
    """Without a zone, of an impossible date, of another type or out of range: None, and listed as unavailable."""
    module = load({**CMDB_MODULE, "create_time": value, "last_time": value})
    assert (module.created_at, module.updated_at) == (None, None)
    assert module.unavailable == ("description", "created_at", "updated_at")


def test_a_response_with_only_the_id_is_enough(
    backend: Backend, set_create_response: SetResponse, call: CallContext
) -> None:
    """documented: cmdb.md §2, old ESB: name and parent are the draft's, other fields are listed as unavailable."""
    set_create_response({"result": True, "code": 0, "message": "", "data": {"bk_module_id": 10}})
    assert backend.create(DRAFT, call) == Module(
        backend="cmdb",
        ref="1.10.10",
        native_id="10",
        scope="1",
        parent="10",
        name="test",
        depth=1,
        has_children=False,
        unavailable=("description", "owners", "created_at", "updated_at", "attributes"),
    )


@pytest.mark.parametrize(
    ("fields", "owners"),
    [
        ({"operator": "admin,tom"}, (Owner("admin"), Owner("tom"))),
        ({"operator": "admin,,tom,"}, (Owner("admin"), Owner("tom"))),
        ({"operator": ""}, ()),
        ({"operator": None}, ()),
    ],
)
def test_owners_are_separated_by_commas(fields: dict[str, Any], owners: tuple[Owner, ...]) -> None:
    """documented: cmdb.md §2, operator: comma-joined, empty or null."""
    module = load({**CMDB_MODULE, **fields})
    assert module.owners == owners
    assert "owners" not in module.unavailable


@pytest.mark.parametrize(("default", "built_in"), [(0, False), (1, True), (2, True), (3, True), (5, True)])
def test_default_marks_built_in_modules(default: int, built_in: bool) -> None:
    """documented: cmdb.md §2, default."""
    assert load({**CMDB_MODULE, "default": default}).built_in is built_in


def test_unknown_keys_are_ignored_and_configured_attributes_loaded() -> None:
    """documented: cmdb.md §8, custom attributes appear in any row; only the connection's are loaded."""
    module = load({**CMDB_MODULE, "team": None, "another": {"deep": [1]}})
    assert module.attributes == {"bk_module_type": "1", "team": None}
    assert (module.ref, module.native_id, module.scope, module.parent) == ("1.10.37825", "37825", "1", "10")


@pytest.mark.parametrize(
    ("document", "set_id"),
    [
        ({"bk_module_id": 5}, 10),
        ({"bk_module_id": 5, "bk_module_name": ""}, 10),
        ({"bk_module_id": 5, "bk_module_name": "a"}, 0),
    ],
)
def test_a_row_without_name_or_set_is_invalid(document: dict[str, Any], set_id: int) -> None:
    """Only a create has a draft to take them from."""
    with pytest.raises(ValidationError, match="name or set"):
        load_module(SCHEMA, document, backend="cmdb", path=ModulePath(1, set_id))


def test_a_change_that_cannot_be_read_back_is_unknown(
    backend: Backend, wire: responses.RequestsMock, call: CallContext
) -> None:
    """The response to update_module contains no module; if it cannot be read afterwards, the outcome is unknown."""
    wire.post(f"{_CC}/update_module/", body=envelope(None))
    wire.post(f"{_CC}/search_module/", body=search_response())
    with pytest.raises(OutcomeUnknown):
        backend.update("1.10.5", ModulePatch(name="a"), call)


def test_only_values_that_are_set_are_dumped() -> None:
    """A custom attribute with the name of a method of dict is left out too; owners that are None are cleared."""
    draft = ModuleDraft(scope="1", parent="10", name="a", attributes={"team": "core"})
    assert dump_draft(SCHEMA, draft) == {"bk_parent_id": 10, "bk_module_name": "a", "team": "core"}
    assert dump_patch(SCHEMA, ModulePatch()) == {}
    assert dump_patch(SCHEMA, ModulePatch(owners=None, attributes={"items": 1})) == {"operator": "", "items": 1}


def test_a_custom_attribute_may_have_the_name_of_a_field() -> None:
    """`owners`, `name` and `load` are attributes like any other."""
    schema = build_module_schema([FieldSpec(name=name) for name in ("owners", "name", "load")])
    values = {"owners": "a", "name": "b", "load": "c"}
    module = load_module(schema, {**CMDB_MODULE, **values}, backend="cmdb", path=ModulePath(1, 10))
    assert (module.name, module.owners, module.attributes) == ("test", (Owner("admin"),), values)
    assert dump_patch(schema, ModulePatch(name="n", attributes=values)) == {"bk_module_name": "n", **values}


def test_an_attribute_that_is_not_writable_is_not_dumped() -> None:
    """It is loaded only."""
    schema = build_module_schema([FieldSpec(name="default", writable=())])
    assert dump_patch(schema, ModulePatch(attributes={"default": 1})) == {}
    module = load_module(schema, {**CMDB_MODULE, "default": 1}, backend="cmdb", path=ModulePath(1, 10))
    assert (module.built_in, module.attributes) == (True, {"default": 1})


def test_a_draft_is_compared_as_cmdb_stores_it() -> None:
    """Text is trimmed as Go does; category 0 of a create is the default one, that of an update is category 0."""
    attributes = {"team": "\u3000a b\n", "service_category_id": 0, "size": 0}
    draft = ModuleDraft(scope="1", parent="10", name="a", attributes=attributes)
    assert normalize(draft) == replace(draft, attributes={"team": "a b", "size": 0})
    patch = ModulePatch(attributes=attributes)
    assert normalize(patch) == ModulePatch(attributes={**attributes, "team": "a b"})


@pytest.mark.parametrize(
    ("configured", "accepted", "refused", "allowed"),
    [(32, "模" * 32, "模" * 33, "1 to 32 characters "), (256, "模" * 85, "模" * 86, "1 to 256 bytes ")],
)
def test_the_limit_of_names_can_be_set(configured: int, accepted: str, refused: str, allowed: str) -> None:
    """documented: cmdb.md §9, 32 characters; the limit of 256 bytes holds besides."""
    name = build_capabilities(cmdb_options(BASE, name_max_characters=configured)).name
    assert not name.validate(accepted, "/name")
    assert [error.code for error in name.validate(refused, "/name")] == ["too_long"]
    assert build_field_schema(name)["maxLength"] == configured
    assert str(name.allowed_description).startswith(allowed)


@pytest.mark.parametrize("data", [None, [], {}, {"name": 1}])
def test_a_template_without_a_name_is_invalid(
    backend: Backend, wire: responses.RequestsMock, call: CallContext, data: Any
) -> None:
    """The name cannot be checked, so nothing is sent."""
    wire.get(f"{_CC}/get_service_template/", body=envelope(data))
    draft = replace(DRAFT, attributes={"service_template_id": 7})
    with pytest.raises(BackendReplyInvalid, match="service template"):
        backend.create(draft, call)
