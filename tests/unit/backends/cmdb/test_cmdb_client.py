"""CMDB's three envelopes, and responses that are not envelopes; documented: cmdb.md §0, §4."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import pytest

from gateway.domain.backend import Backend, CallContext
from gateway.domain.error_mapping import UpstreamFailure
from gateway.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendPermissionDenied,
    BackendRejectedCredentials,
    BackendUnavailable,
    GatewayError,
    OutcomeUnknown,
    RateLimited,
)
from tests.unit.backends.cmdb.conftest import DRAFT, SetResponse
from tests.unit.backends.connections import CMDB_MODULE

#: documented: cmdb.md §4, the no-permission body of the apiserver, raw keys, no `data`
_PERMISSION: Final = {
    "system_id": "bk_cmdb",
    "system_name": "配置平台",
    "actions": [{"id": "create_biz_topology", "name": "业务拓扑新建", "related_resource_types": []}],
}
Fail = Callable[..., GatewayError]


@pytest.fixture
def fail(backend: Backend, set_create_response: SetResponse, call: CallContext) -> Fail:
    """A function that sends a create, which gets the given response, and returns the error."""

    def fail(response: Any, status: int = 200, **headers: str) -> GatewayError:
        set_create_response(response, status, **headers)
        with pytest.raises(GatewayError) as caught:
            backend.create(DRAFT, call)
        return caught.value

    return fail


def failure_of(error: GatewayError) -> UpstreamFailure:
    assert error.context.failure is not None
    return error.context.failure


def test_a_permission_is_passed_on(fail: Fail) -> None:
    """The error contains what the user needs to apply for the permission, unchanged."""
    body = {"result": False, "bk_error_code": 9900403, "bk_error_msg": "没有操作的权限", "permission": _PERMISSION}
    error = fail(body)
    assert type(error) is BackendPermissionDenied
    assert error.context.permission == _PERMISSION


@pytest.mark.parametrize("permission", [None, "none", [], 7])
def test_another_value_than_an_object_is_no_permission(fail: Fail, permission: Any) -> None:
    """The old ESB omits it, others write null."""
    error = fail({"result": False, "code": 9900403, "message": "m", "permission": permission})
    assert error.context.permission is None


@pytest.mark.parametrize(
    "body",
    [
        {"code_name": "RATE_LIMIT_RESTRICTION", "code": 1642902, "message": "…", "result": False, "data": None},
        {"result": True, "code": 0, "message": "success", "data": CMDB_MODULE},
        b"<html>rate limited</html>",
        b"",
    ],
)
def test_the_gateways_error_header_is_an_error_with_status_200(fail: Fail, body: Any) -> None:
    """The ESB gateway rewrites every status to 200; its header X-Bkapi-Error-Code marks an error, for every body."""
    error = fail(body, X_Bkapi_Error_Code="1642902")
    assert type(error) is RateLimited
    assert failure_of(error).code == "1642902"


def test_the_bodys_code_comes_before_the_headers(fail: Fail) -> None:
    """If both are present and differ, the code in the body is used."""
    error = fail({"code": 1640001, "message": "m", "result": False}, 400, X_Bkapi_Error_Code="1642902")
    assert type(error) is BackendRejectedCredentials


@pytest.mark.parametrize("text", [b"404: Page Not Found", b"405: Method Not Allowed"])
def test_a_plain_text_404_with_status_200_is_a_refusal(fail: Fail, text: bytes) -> None:
    """documented: cmdb.md §5, the last row of CMDB's table: an unknown route; the status is not copied."""
    error = fail(text)
    assert type(error) is BackendMisconfigured
    assert failure_of(error).code == text[:3].decode()


@pytest.mark.parametrize(
    ("status", "write"), [(200, OutcomeUnknown), (409, BackendError), (400, BackendError), (503, OutcomeUnknown)]
)
def test_an_unmapped_code_falls_back_by_status_and_is_logged(
    fail: Fail, status: int, write: type[GatewayError], caplog: pytest.LogCaptureFixture
) -> None:
    """The status determines the error; the log contains the code and the message."""
    with caplog.at_level(logging.INFO, "gateway.backends"):
        error = fail({"result": False, "code": 1155555, "message": "new in 3.99"}, status)
    assert type(error) is write
    (record,) = (record for record in caplog.records if record.name == "gateway.backends")
    assert (record.levelname, record.getMessage()) == ("WARNING", "unmapped backend code")
    fields = record.__dict__["fields"]
    assert (fields["code"], fields["status"], fields["upstream_message"]) == ("1155555", status, "new in 3.99")


@pytest.mark.parametrize(
    "code", [0, None, "", "abc", True, -5, 12, 1.5, [], "1199014\n", 10**12, 404, "404", 4001, 40001, 2001234, 10**6]
)
def test_other_values_are_not_codes(fail: Fail, code: Any) -> None:
    """A code is a number of seven digits, or these digits as text; without a code the outcome is unknown."""
    error = fail({"result": False, "code": code, "message": "m", "data": None})
    assert type(error) is OutcomeUnknown
    assert failure_of(error).code is None


def test_a_code_in_digits_is_a_code(fail: Fail) -> None:
    """documented: cmdb.md §5, coerce numeric strings."""
    assert fail({"result": False, "code": "1101099", "message": "m"}).code == "module_already_exists"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"X_Bkapi_RateLimit_Reset": "3"}, 3.0),
        ({"Retry_After": "7", "X_Bkapi_RateLimit_Reset": "3"}, 7.0),
        ({"Retry_After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),  # past
        ({"Retry_After": "-1"}, None),
        ({}, None),
    ],
)
def test_the_retry_time_is_read_from_the_headers(fail: Fail, headers: dict[str, str], seconds: float | None) -> None:
    """documented: cmdb.md §5, X-Bkapi-RateLimit-Reset and no Retry-After; the standard header takes precedence."""
    error = fail({"code": 1642901, "message": "m", "result": False}, 429, **headers)
    assert error.context.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "headers", "request_id"),
    [
        ({"request_id": "e43d"}, {}, "e43d"),
        ({}, {"X_Bkapi_Request_ID": "a"}, "a"),
        ({}, {"X_Request_Id": "b"}, "b"),
        ({}, {"X_Bkapi_Request_ID": "a", "X_Request_Id": "b"}, "a"),
        ({"request_id": "with space"}, {}, None),
        ({"request_id": ["x"]}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_request_id_is_read_from_body_or_headers(
    fail: Fail, body: dict[str, Any], headers: dict[str, str], request_id: str | None
) -> None:
    """documented: cmdb.md §4, ids: ESB's in the body, the API gateway's and CMDB's in headers."""
    error = fail({"result": False, "code": 1199014, "message": "m", **body}, **headers)
    assert failure_of(error).request_id == request_id


def test_a_success_with_an_error_status_is_an_error(fail: Fail) -> None:
    """result:true with status 500 is not a success."""
    assert type(fail({"result": True, "code": 0, "data": CMDB_MODULE}, 500)) is OutcomeUnknown


def test_an_error_is_logged_with_its_message(fail: Fail, caplog: pytest.LogCaptureFixture) -> None:
    """The log contains the backend's message, truncated; the error does not."""
    with caplog.at_level(logging.INFO, "gateway.backends"):
        error = fail({"result": False, "code": 1199065, "message": "secret internals " * 100})
    assert type(error) is BackendUnavailable
    assert "internals" not in str(error)
    (record,) = (record for record in caplog.records if record.name == "gateway.backends")
    assert record.getMessage() == "backend returned an error"
    assert {"backend", "request_id", "operation"} <= record.__dict__["fields"].keys()
    assert len(record.__dict__["fields"]["upstream_message"]) == 500
