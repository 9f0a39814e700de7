"""CMDB's, the ESB's and the API gateway's codes: each row of the table, through the adapter, in both dialects."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, Final

import pytest
import responses

from gateway.backends.cmdb.errors import ERRORS
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    REGISTRY,
    BackendError,
    BackendMisconfigured,
    BackendPermissionDenied,
    BackendRejectedCredentials,
    BackendUnavailable,
    BuiltInProtected,
    GatewayError,
    ImmutableField,
    ModuleAlreadyExists,
    ModuleNotEmpty,
    ModuleNotFound,
    OutcomeUnknown,
    PayloadTooLarge,
    RateLimited,
    TemplateManaged,
    UniqueFieldConflict,
    ValidationFailed,
)
from gateway.domain.module import ModulePatch, ModuleQuery
from tests.unit.backends.cmdb.conftest import BASE, DRAFT, HEADERS, SetResponse

#: documented: cmdb.md §5, all three tables, by error; derived from the facts, not from the adapter's table
CODES_BY_ERROR: Final[dict[type[GatewayError], str]] = {
    BackendError: "1101000 1101003 1101007 1101164 1101166 1199052 1199998 1199999 1306000 1650070",
    BackendMisconfigured: "1101084 1199045 1306203 1306206 1306207 1306208 1306209 1306404 1306405 1640401 1650002"
    " 1650801 404 405 1199037",
    BackendPermissionDenied: "9900403 1199047 1199048 1306402",
    BackendRejectedCredentials: "1199027 1306401 1306403 1306408 1640001 1640004 1640100 1640101 1640102 1640301"
    " 1640302 1640303 1640304",
    # 1101086, of search_business, is CCErrorTopoGetAuthorizedBusinessListFailed in src/common/errInfo.go.
    BackendUnavailable: "1101086 1108034 1109001 1109005 1199002 1199004 1199017 1199018 1199020 1199021 1199046"
    " 1199061 1199065 1199066 1199067 1306201 1650000 1650001 1650200 1650201 1650300 1650401",
    BuiltInProtected: "1101098",
    ImmutableField: "1101090 1101091 1199083",
    ModuleAlreadyExists: "1101099",
    ModuleNotEmpty: "1101030 1101075",
    ModuleNotFound: "1199019",
    PayloadTooLarge: "1641301 1641401",
    RateLimited: "1199997 1306429 1642901 1642902 1642903 1642904",
    TemplateManaged: "1101097",
    UniqueFieldConflict: "1199014",
    ValidationFailed: "1108036 1199000 1199006 1199007 1199009 1199010 1199011 1199015 1199016 1199035 1199038 1199073"
    " 1199089 1306406 1306407",
}
#: documented: the same, retry **U**: the outcome of a write is unknown
UNKNOWN_ON_WRITE: Final = frozenset(
    [
        "1101000",
        "1101003",
        "1109001",
        "1109005",
        "1199002",
        "1199004",
        "1199017",
        "1199018",
        "1199020",
        "1199021",
        "1199066",
        "1199067",
        "1199998",
        "1199999",
        "1306000",
        "1306201",
        "1650000",
        "1650070",
        "1650200",
        "1650201",
        "1650300",
        "1650401",
    ]
)
_CODES: Final = {code: error for error, codes in CODES_BY_ERROR.items() for code in codes.split()}
#: The status of the response for each row of a status class.
_STATUSES: Final = {"@": 200, "@3xx": 302, "@4xx": 422, "@5xx": 503}
_PLAIN_TEXTS: Final = {"404": b"404: Page Not Found", "405": b"405: Method Not Allowed"}


def test_the_facts_and_the_table_name_the_same_codes() -> None:
    """No documented code is missing, none is added, and each maps to the documented error."""
    rows = {key: row for key, row in ERRORS.rows.items() if key.isdigit()}
    assert {key: row.error for key, row in rows.items()} == _CODES
    assert {key for key, row in rows.items() if row.unknown_on_write} == UNKNOWN_ON_WRITE


@pytest.mark.parametrize("key", ERRORS.rows)
def test_every_row_reaches_a_registered_error(key: str) -> None:
    """A row's error is in the registry under its code, and its pointer is a JSON pointer."""
    row = ERRORS.rows[key]
    assert REGISTRY[row.error.code] is row.error
    assert row.pointer is None or row.pointer.startswith("/")


def documented_response(key: str, dialect: str) -> tuple[int, dict[str, Any] | bytes]:
    """Return the status and body of a row's code, with the row's word; documented: cmdb.md §0 and §5."""
    if key.startswith("@"):
        return _STATUSES.get(key) or int(key[1:]), {"result": False, "message": "no code"}
    if key in _PLAIN_TEXTS:
        return HTTPStatus.OK, _PLAIN_TEXTS[key]
    code, _, word = re.sub("^[a-z]+:", "", key).partition(":")
    message = f"[{word}] …" if word == "data" else f"'{word}' …" if re.fullmatch(r"[a-z_/]+", word) else f"… {word} …"
    names = ("bk_error_code", "bk_error_msg") if dialect == "raw" else ("code", "message")
    status = int(code[2:5]) if code.startswith("16") else HTTPStatus.OK
    return status, {"result": False, names[0]: int(code), names[1]: message, "data": None, "permission": None}


@pytest.mark.parametrize("dialect", ["raw", "renamed"])
@pytest.mark.parametrize("key", [key for key in ERRORS.rows if not key.startswith("template:")])
def test_a_create_raises_the_error_of_every_row(
    key: str, dialect: str, backend: Backend, set_create_response: SetResponse, call: CallContext
) -> None:
    """Either spelling of a code raises its row's error; an `unknown_on_write` row, or no code, OutcomeUnknown."""
    status, body = documented_response(key, dialect)
    set_create_response(body, status)
    row = ERRORS.rows.get(f"create:{key}", ERRORS.rows[key])
    with pytest.raises(GatewayError) as caught:
        backend.create(DRAFT, call)
    assert caught.type is (OutcomeUnknown if row.unknown_on_write or key.startswith("@") else row.error)
    failure = caught.value.context.failure
    assert failure is not None
    assert (failure.status, failure.code) == (status, None if key.startswith("@") else re.findall(r"\d+", key)[0])
    pointer = row.pointer or caught.type.pointer
    assert [field_error.pointer for field_error in caught.value.errors] == ([pointer] if pointer else [])


@pytest.mark.parametrize("key", [key for key in ERRORS.rows if not re.match("[a-z]+:", key)])
def test_a_list_raises_the_error_of_every_row(
    key: str, backend: Backend, wire: responses.RequestsMock, call: CallContext
) -> None:
    """A read has no unknown outcome: it raises the row's error."""
    status, body = documented_response(key, "renamed")
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    wire.post(f"{BASE}/api/c/compapi/v2/cc/search_module/", body=raw, status=status)
    with pytest.raises(GatewayError) as caught:
        backend.list(ModuleQuery(scope="1"), 50, None, call)
    assert caught.type is ERRORS.rows[key].error
    assert wire.calls[0].request.headers["X-Bkapi-Authorization"] == HEADERS["X-Bkapi-Authorization"]


@pytest.mark.parametrize(
    ("code", "message", "error", "pointer"),
    [
        (1199011, "'bk_set_id' the parameter is invalid or does not exist", "parent_not_found", "/parent"),
        (1199011, "'bk_biz_id/bk_set_id' 参数无效或不存在", "parent_not_found", "/parent"),
        (1199011, "'bk_biz_id' 参数无效或不存在", "scope_not_found", "/scope"),
        (1199011, "''bk_module_name' '…' data parameter verification…'", "validation_failed", "/name"),
        (1199011, "'operator' 参数无效或不存在", "validation_failed", "/owners"),
        (1199011, "'模块名' 参数无效或不存在", "validation_failed", None),
        (1199006, "'bk_parent_id' 数据参数校验不通过", "validation_failed", "/parent"),
        (1199010, "'bk_module_name' unassigned", "validation_failed", "/name"),
        (1199073, "字段bk_module_name超过最大值32", "validation_failed", "/name"),
        (1199073, "bk_module_name field exceeds maximum value %!s(int=32)", "validation_failed", "/name"),
        (1306000, "business id [bk_biz_id] Enter a whole number.", "validation_failed", "/scope"),
        (1306000, "set id [bk_set_id] This field is required.", "validation_failed", "/parent"),
        (1306000, "data [data] Must be the specified parameter data type dict", "validation_failed", None),
        (1306000, "APP Code [bk_app_code] cannot be empty", "backend_rejected_credentials", None),
        (1306000, "APP Secret verification failed, pelase confirm …", "backend_rejected_credentials", None),
        (1306000, "Invalid APP Code [bk_app_code=x], please …", "backend_rejected_credentials", None),
        (1306000, "User authentication failed, please check", "backend_rejected_credentials", None),
        (1306000, "Component error, …", "outcome_unknown", None),
        (1306201, "…, response time exceeds 30 seconds", "outcome_unknown", None),
        (1306201, "… Failed to connect: connection refused", "backend_unavailable", None),
        *(
            (code, message, "backend_unavailable", None)
            for code in (1306201, 1650000, 1650070, 1650200, 1650201, 1650300, 1650401)
            for message in (
                "Bad Gateway: dial tcp 10.0.0.1:80: connect: connection refused",
                "connect() failed (111: Connection refused) while connecting to upstream",
                'Bad Gateway [upstream_error="failed to connect to upstream"]',
                "upstream timed out (110: Connection timed out) while connecting to upstream",
                "Request backend service timeout: timed out while connecting",
            )
        ),
        *(
            (code, message, "outcome_unknown", None)
            for code in (1306201, 1650000, 1650070, 1650200, 1650201, 1650300, 1650401, 1199998)
            for message in (
                'Bad Gateway [upstream_error="cannot read header from upstream"]',
                "upstream timed out (110: Connection timed out) while reading response header from upstream",
                "Connection reset by peer",
            )
        ),
        (1199998, "rewrite request failed, no topo_server", "backend_unavailable", None),
        (1199998, "user is not set", "backend_rejected_credentials", None),
        (1199998, 'proxy request failed, Post "…": net/http: timeout', "outcome_unknown", None),
    ],
)
def test_language_independent_words_refine_the_error(
    code: int,
    message: str,
    error: str,
    pointer: str | None,
    backend: Backend,
    set_create_response: SetResponse,
    call: CallContext,
) -> None:
    """documented: cmdb.md §4 (the quoted parameter) and §5 (ESB's bracketed ones, the fixed English texts)."""
    set_create_response({"result": False, "code": code, "message": message, "data": None})
    with pytest.raises(GatewayError) as caught:
        backend.create(DRAFT, call)
    assert caught.value.code == error
    assert [field_error.pointer for field_error in caught.value.errors] == ([pointer] if pointer else [])


def test_an_update_of_an_unknown_module_is_not_found(
    backend: Backend, wire: responses.RequestsMock, call: CallContext
) -> None:
    """Only on a create does 1199019 refer to the service category; documented: cmdb.md §3."""
    body = {"result": False, "code": 1199019, "message": "No relevant data found", "data": None}
    wire.post(f"{BASE}/api/c/compapi/v2/cc/update_module/", json=body)
    with pytest.raises(ModuleNotFound):
        backend.update("1.10.5", ModulePatch(name="new"), call)
