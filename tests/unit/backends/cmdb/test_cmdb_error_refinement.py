"""A CMDB code that has several causes: what was sent and what reads show afterwards tell which it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
import responses

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    BackendError,
    FieldError,
    GatewayError,
    ModuleAlreadyExists,
    ModuleBusy,
    ModuleNotFound,
    OutcomeUnknown,
    ParentNotFound,
    ScopeNotFound,
    UniqueFieldConflict,
    ValidationFailed,
)
from gateway.domain.module import Module, ModuleDraft, ModulePatch
from tests.unit.backends.cmdb.conftest import BASE, DRAFT
from tests.unit.backends.connections import CMDB_MODULE, envelope, search_response

_CC: Final = f"{BASE}/api/c/compapi/v2/cc"
_CATEGORY: Final = "/attributes/service_category_id"
_WITH_CATEGORY: Final = ModuleDraft(
    scope="1", parent="10", name="test", attributes={"service_category_id": 999, "team": "a"}
)
#: A search that fails: CMDB's database cannot be read.
BROKEN: Final = json.dumps({"result": False, "code": 1199017, "message": "Failed to query data"}).encode()
#: documented: cmdb.md §3 and §5 (the argument of 1199014 is that of MongoDB's index), in both languages
APP_KEY: Final = 'duplicated instances exist, fields [ bk_biz_id: 1, app_key: "shop" ] duplicated'
APP_KEY_ZH: Final = '数据唯一性校验失败， app_key: "bk_module_name: x" 重复'
NAME: Final = 'duplicated instances exist, fields [ bk_biz_id: 1, bk_set_id: 10, bk_module_name: "test" ] duplicated'
#: documented: cmdb.md §9: 3.9 writes the fields' names in its own language
NAMES_39: Final = "duplicated instances exist, fields [business id,set id,module name] duplicated"


def refusal(code: int, message: str = "m") -> dict[str, Any]:
    return {"result": False, "code": code, "message": message, "data": None}


class Cmdb:
    """The responses to a write and to the searches after it; `sent` lists the components that were called."""

    def __init__(self, wire: responses.RequestsMock) -> None:
        self._wire = wire
        wire.assert_all_requests_are_fired = False

    def answers(
        self, write: Mapping[str, Any], *, modules: bytes | None = None, sets: bytes = BROKEN, reads: int = 1
    ) -> None:
        for component in ("create", "update", "delete"):
            self._wire.post(f"{_CC}/{component}_module/", json=write)
        for body in [modules or BROKEN] * reads:
            self._wire.post(f"{_CC}/search_module/", body=body)
        self._wire.post(f"{_CC}/search_set/", body=sets)

    def then_modules(self, body: bytes) -> None:
        self._wire.post(f"{_CC}/search_module/", body=body)

    @property
    def sent(self) -> list[str]:
        return [str(call.request.url).rsplit("/", 2)[1] for call in self._wire.calls]


@pytest.fixture
def cmdb(wire: responses.RequestsMock) -> Cmdb:
    return Cmdb(wire)


def create(backend: Backend, call: CallContext, draft: ModuleDraft = DRAFT) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        backend.create(draft, call)
    return caught.value


def update(backend: Backend, call: CallContext, **changes: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        backend.update("1.10.37825", ModulePatch(**changes), call)
    return caught.value


@pytest.mark.parametrize("message", [APP_KEY, APP_KEY_ZH])
def test_another_unique_field_is_named(backend: Backend, cmdb: Cmdb, call: CallContext, message: str) -> None:
    """Its id in the text is the same in every language; a value in quotes is no field."""
    cmdb.answers(refusal(1199014, message), modules=search_response({**CMDB_MODULE, "bk_module_name": "other"}))
    error = create(backend, call)
    assert type(error) is UniqueFieldConflict
    assert error.errors == (FieldError("/attributes/app_key", "unique_field_conflict"),)
    assert error.context.failure is not None
    assert error.context.failure.code == "1199014"
    assert cmdb.sent == ["create_module", "search_module"]
    assert type(update(backend, call, attributes={"team": "a"})) is UniqueFieldConflict


def test_a_repeated_create_meets_its_own_module(backend: Backend, cmdb: Cmdb, call: CallContext) -> None:
    """CMDB names the first rule that is broken, here another field: the name, which identifies the module, is too."""
    cmdb.answers(refusal(1199014, APP_KEY), modules=search_response(CMDB_MODULE))
    assert type(create(backend, call)) is ModuleAlreadyExists


def test_a_search_that_fails_leaves_what_the_text_names(backend: Backend, cmdb: Cmdb, call: CallContext) -> None:
    """It was refused in any case."""
    cmdb.answers(refusal(1199014, APP_KEY), modules=BROKEN)
    assert [error.pointer for error in create(backend, call).errors] == ["/attributes/app_key"]


def test_the_fields_of_the_model_have_our_names(backend: Backend, cmdb: Cmdb, call: CallContext) -> None:
    """`operator` is `owners`."""
    cmdb.answers(refusal(1199014, 'fields [ operator: "admin" ] duplicated'), modules=search_response())
    assert [error.pointer for error in create(backend, call).errors] == ["/owners"]


@pytest.mark.parametrize("message", [NAME, "fields [bk_biz_id,bk_set_id,bk_module_name] duplicated"])
def test_the_name_is_what_collides(backend: Backend, cmdb: Cmdb, call: CallContext, message: str) -> None:
    """The text names bk_module_name: the module may be gone by now, so no search decides."""
    cmdb.answers(refusal(1199014, message), modules=search_response())
    assert type(create(backend, call)) is ModuleAlreadyExists
    assert type(update(backend, call, name="test")) is ModuleAlreadyExists
    assert cmdb.sent == ["create_module", "update_module"]


@pytest.mark.parametrize("message", [NAMES_39, "数据唯一性校验失败", ""])
@pytest.mark.parametrize(
    ("modules", "error"),
    [
        (search_response(CMDB_MODULE), ModuleAlreadyExists),
        (search_response(), UniqueFieldConflict),
        (BROKEN, UniqueFieldConflict),
    ],
)
def test_a_text_without_ids_is_explained_by_a_search(
    backend: Backend, cmdb: Cmdb, call: CallContext, message: str, modules: bytes, error: type[GatewayError]
) -> None:
    """A module of this name is in the set or not; if the search fails, it is refused all the same."""
    cmdb.answers(refusal(1199014, message), modules=modules)
    raised = create(backend, call)
    assert (type(raised), raised.outcome, raised.errors) == (error, "not_applied", ())
    assert raised.context.failure is not None


@pytest.mark.parametrize(
    ("changes", "modules", "error"),
    [
        ({"name": "test"}, search_response({**CMDB_MODULE, "bk_module_id": 7}), ModuleAlreadyExists),
        ({"name": "new"}, search_response({**CMDB_MODULE, "bk_module_id": 7}), UniqueFieldConflict),
        ({"name": "test"}, search_response(CMDB_MODULE), UniqueFieldConflict),
        ({"name": "new"}, search_response(), UniqueFieldConflict),
        ({"name": "new"}, BROKEN, UniqueFieldConflict),
        ({"owners": ("tom",)}, search_response({**CMDB_MODULE, "bk_module_id": 7}), UniqueFieldConflict),
    ],
)
def test_an_update_that_meets_a_unique_rule(
    backend: Backend,
    cmdb: Cmdb,
    call: CallContext,
    changes: dict[str, Any],
    modules: bytes,
    error: type[GatewayError],
) -> None:
    """Only another module of the new name proves that the name collides."""
    cmdb.answers(refusal(1199014, NAMES_39), modules=modules)
    assert type(update(backend, call, **changes)) is error


def test_the_old_code_for_a_name_is_decisive(backend: Backend, cmdb: Cmdb, call: CallContext) -> None:
    """1101099 is returned only after CMDB has found a module of the name (CreateModule of release 3.9)."""
    cmdb.answers(refusal(1101099, "the same module name exist"))
    assert type(create(backend, call)) is ModuleAlreadyExists
    assert cmdb.sent == ["create_module"]


SET: Final = search_response({"bk_set_id": 10})


@pytest.mark.parametrize(
    ("draft", "sets", "error", "pointer"),
    [
        (DRAFT, [search_response(), search_response()], ScopeNotFound, "/scope"),
        (DRAFT, [search_response(), search_response({"bk_set_id": 11})], ParentNotFound, "/parent"),
        (_WITH_CATEGORY, [search_response(), search_response()], ScopeNotFound, "/scope"),
        (_WITH_CATEGORY, [search_response(), search_response({"bk_set_id": 11})], ParentNotFound, "/parent"),
        (_WITH_CATEGORY, [SET], ValidationFailed, _CATEGORY),
        (DRAFT, [SET], BackendError, None),
        (DRAFT, [BROKEN], BackendError, None),
        (_WITH_CATEGORY, [BROKEN], BackendError, None),
    ],
)
def test_what_a_create_did_not_find(
    backend: Backend,
    wire: responses.RequestsMock,
    call: CallContext,
    draft: ModuleDraft,
    sets: list[bytes],
    error: type[GatewayError],
    pointer: str | None,
) -> None:
    """documented: cmdb.md §9: 1199019 for an unknown set, business or category; only what was sent can be wrong."""
    wire.post(f"{_CC}/create_module/", json=refusal(1199019, "No relevant data found"))
    for body in sets:
        wire.post(f"{_CC}/search_set/", body=body)
    raised = create(backend, call, draft)
    assert type(raised) is error
    assert [field_error.pointer for field_error in raised.errors] == ([pointer] if pointer else [])
    assert raised.outcome == "not_applied"
    assert raised.context.failure is not None
    assert raised.context.failure.code == "1199019"


@pytest.mark.parametrize("token", ["bk_biz_id/bk_set_id", "bk_set_id"])
@pytest.mark.parametrize(
    ("sets", "error"),
    [
        ([search_response(), search_response()], ScopeNotFound),
        ([search_response(), search_response({"bk_set_id": 11})], ParentNotFound),
        ([SET], ParentNotFound),
        ([BROKEN], ParentNotFound),
    ],
)
def test_whether_the_set_or_its_business_is_unknown(
    backend: Backend,
    wire: responses.RequestsMock,
    call: CallContext,
    token: str,
    sets: list[bytes],
    error: type[GatewayError],
) -> None:
    """documented: cmdb.md §3 and §9: 1199011 names both, or looks for the set before the business."""
    wire.post(f"{_CC}/create_module/", json=refusal(1199011, f"'{token}' the parameter is invalid"))
    for body in sets:
        wire.post(f"{_CC}/search_set/", body=body)
    raised = create(backend, call)
    assert (type(raised), [item.pointer for item in raised.errors]) == (error, [error.pointer])


CONFLICTS: Final = (1199020, 1199021)
PATCH: Final[dict[str, Any]] = {"name": "new", "owners": ("tom", "admin"), "attributes": {"team": "b"}}
KEPT: Final = {**CMDB_MODULE, "bk_module_name": "new", "operator": "tom,admin", "team": "b"}


@pytest.mark.parametrize("code", CONFLICTS)
def test_a_conflict_that_changed_nothing(backend: Backend, cmdb: Cmdb, call: CallContext, code: int) -> None:
    """documented: cmdb.md §9: the transaction met another one; the module has none of the new values."""
    cmdb.answers(refusal(code), modules=search_response({**CMDB_MODULE, "team": "a"}))
    error = update(backend, call, **PATCH)
    assert type(error) is ModuleBusy
    assert (error.outcome, error.retryable, error.context.retry_after) == ("not_applied", True, 1.0)
    assert error.context.failure is not None
    assert error.context.failure.code == str(code)


@pytest.mark.parametrize("code", CONFLICTS)
def test_a_conflict_whose_change_was_kept(backend: Backend, cmdb: Cmdb, call: CallContext, code: int) -> None:
    """The module has every new value."""
    cmdb.answers(refusal(code), modules=search_response(KEPT))
    module = backend.update("1.10.37825", ModulePatch(**PATCH), call)
    assert isinstance(module, Module)
    assert (module.name, [owner.id for owner in module.owners]) == ("new", ["tom", "admin"])
    assert cmdb.sent == ["update_module", "search_module"]


@pytest.mark.parametrize(
    "modules",
    [
        search_response({**KEPT, "bk_module_name": "test"}),
        search_response({**KEPT, "operator": None}),
        search_response({**KEPT, "team": "other"}),
        search_response({name: value for name, value in CMDB_MODULE.items() if name != "operator"}),
        search_response(),
        envelope({"info": 7}),
        BROKEN,
    ],
)
def test_a_conflict_whose_outcome_is_unknown(backend: Backend, cmdb: Cmdb, call: CallContext, modules: bytes) -> None:
    """Some of the values are there, or the module cannot be read: the outcome stays unknown."""
    cmdb.answers(refusal(1199020), modules=modules)
    assert type(update(backend, call, **PATCH)) is OutcomeUnknown


@pytest.mark.parametrize(
    ("after", "error"),
    [
        (search_response(CMDB_MODULE), ModuleBusy),
        (search_response(), None),
        (BROKEN, OutcomeUnknown),
    ],
)
@pytest.mark.parametrize("code", CONFLICTS)
def test_a_delete_that_met_another_transaction(
    backend: Backend, cmdb: Cmdb, call: CallContext, code: int, after: bytes, error: type[GatewayError] | None
) -> None:
    """The module is still there, is gone, or cannot be read."""
    cmdb.answers(refusal(code), modules=search_response(CMDB_MODULE))
    cmdb.then_modules(after)
    if error is None:
        backend.delete("1.10.37825", call)
    else:
        with pytest.raises(error):
            backend.delete("1.10.37825", call)
    assert cmdb.sent == ["search_module", "delete_module", "search_module"]


@pytest.mark.parametrize("code", [*CONFLICTS, 1199066, 1199018])
def test_a_create_that_met_another_transaction_is_unknown(
    backend: Backend, cmdb: Cmdb, call: CallContext, code: int
) -> None:
    """It is reconciled and not decided by one search: a transaction may commit later."""
    cmdb.answers(refusal(code), modules=search_response())
    assert type(create(backend, call)) is OutcomeUnknown
    assert cmdb.sent == ["create_module"]


@pytest.mark.parametrize("code", [1199066, 1199067, 1199002])
def test_a_commit_in_doubt_is_not_read_back(backend: Backend, cmdb: Cmdb, call: CallContext, code: int) -> None:
    """It may be applied after the read: the outcome of the update stays unknown."""
    cmdb.answers(refusal(code), modules=search_response(CMDB_MODULE))
    assert type(update(backend, call, name="new")) is OutcomeUnknown
    assert cmdb.sent == ["update_module"]


@pytest.mark.parametrize("data", [None, {}, [], 0])
def test_a_create_without_data_proves_nothing(backend: Backend, cmdb: Cmdb, call: CallContext, data: Any) -> None:
    """documented: cmdb.md §9: success without data was answered when nothing was created; it is no proof of that."""
    cmdb.answers({"result": True, "code": 0, "message": "success", "data": data})
    assert type(create(backend, call)) is OutcomeUnknown


def test_an_unknown_module_is_not_deleted(backend: Backend, cmdb: Cmdb, call: CallContext) -> None:
    """documented: cmdb.md §9: CMDB answers success; the module is read under its business and set before."""
    cmdb.answers({"result": True, "code": 0, "message": "success", "data": None}, modules=search_response())
    with pytest.raises(ModuleNotFound):
        backend.delete("1.10.37825", call)
    assert cmdb.sent == ["search_module"]


@pytest.mark.parametrize(
    ("code", "error"), [(1199027, "backend_rejected_credentials"), (1199037, "backend_misconfigured")]
)
@pytest.mark.parametrize("keys", [("code", "message"), ("bk_error_code", "bk_error_msg")])
def test_a_request_that_reached_no_handler_is_misconfigured(
    backend: Backend, wire: responses.RequestsMock, call: CallContext, code: int, error: str, keys: tuple[str, str]
) -> None:
    """documented: cmdb.md §9: no user and no route are HTTP 500, from the apiserver itself."""
    body = {"result": False, keys[0]: code, keys[1]: "m", "data": None}
    wire.post(f"{_CC}/create_module/", json=body, status=500)
    raised = create(backend, call)
    assert (raised.code, raised.outcome) == (error, "not_applied")


@pytest.mark.parametrize(
    ("changes", "row", "error"),
    [
        ({"owners": ("tom",)}, CMDB_MODULE, ModuleBusy),
        ({"owners": None}, CMDB_MODULE, ModuleBusy),
        ({"attributes": {"team": "b"}}, CMDB_MODULE, ModuleBusy),
        ({"owners": ("tom",)}, {**CMDB_MODULE, "operator": ...}, OutcomeUnknown),
    ],
)
def test_only_the_fields_of_the_patch_are_compared(
    backend: Backend,
    cmdb: Cmdb,
    call: CallContext,
    changes: dict[str, Any],
    row: dict[str, Any],
    error: type[GatewayError],
) -> None:
    """Owners that the reply does not contain prove nothing."""
    present = {name: value for name, value in row.items() if value is not ...}
    cmdb.answers(refusal(1199020), modules=search_response(present))
    assert type(update(backend, call, **changes)) is error
