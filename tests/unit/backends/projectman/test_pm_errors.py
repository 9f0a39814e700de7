"""Every row of the table of ProjectMan's, API Gateway's and IAM's codes, through the adapter."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

import pytest
import responses

from gateway.backends.projectman import create_backend
from gateway.backends.projectman.errors import ERRORS
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    REGISTRY,
    BackendError,
    BackendMisconfigured,
    BackendPermissionDenied,
    BackendRejectedCredentials,
    BackendUnavailable,
    GatewayError,
    LimitExceeded,
    ModuleAlreadyExists,
    OutcomeUnknown,
    OwnerNotFound,
    PayloadTooLarge,
    RateLimited,
    ScopeNotFound,
    ValidationFailed,
)
from gateway.domain.module import ModuleQuery
from tests.conftest import VirtualClock
from tests.unit.backends.connections import PROJECT, projectman_options
from tests.unit.backends.projectman.conftest import URL, Refused
from tests.unit.backends.projectman.service_stub import BASE

#: documented: projectman.md §4c, by error, each code with its status; derived from the facts, not from the table
CODES_BY_ERROR: Final[dict[type[GatewayError], str]] = {
    BackendError: "PM.00000001/400 PM.02152002/400 PM.02175301/400 PM.02303005/400",
    BackendMisconfigured: "APIGW.0101/404 APIGW.0607/400",
    BackendPermissionDenied: "APIGW.0302/403 APIGW.0304/403 APIGW.0306/403 APIGW.0310/403 APIGW.0401/403"
    " APIGW.0402/403 APIGW.0404/403 APIGW.0801/403 APIGW.0802/403 PM.00000014/403",
    BackendRejectedCredentials: "APIGW.0301/401 APIGW.0303/401 APIGW.0305/401 APIGW.0307/401 APIGW.0311/401"
    " PM.10001002/400",
    BackendUnavailable: "APIGW.0103/404 APIGW.0104/400 APIGW.0105/400 APIGW.0106/400 APIGW.0201/502 APIGW.0201/504"
    " APIGW.0203/504 APIGW.0601/500 APIGW.0605/500 APIGW.0606/500 APIGW.0608/500 APIGW.0609/500 APIGW.0611/500"
    " APIGW.0612/500 APIGW.0705/500 APIGW.0610/502 APIGW.0613/503 PM.02175000/400",
    LimitExceeded: "APIGW.0501/405 APIGW.0502/405 PM.02175101/400",
    ModuleAlreadyExists: "PM.10002006/400",
    OwnerNotFound: "PM.02150010/400 PM.02177003/400",
    PayloadTooLarge: "APIGW.0201/413 APIGW.0201/414 APIGW.0201/494",
    RateLimited: "APIGW.0308/429 PM.02153001/400",
    ScopeNotFound: "PM.02152005/400",
    ValidationFailed: "APIGW.0201/400 APIGW.0602/400 PM.02152001/400 PM.02152003/400 PM.02175006/400 PM.02174103/400",
}
#: documented: the same, a POST only after listing: the outcome of a write is unknown
UNKNOWN_ON_WRITE: Final = frozenset(
    [
        "APIGW.0201/502",
        "APIGW.0201/504",
        "APIGW.0203/504",
        "APIGW.0601/500",
        "APIGW.0605/500",
        "APIGW.0606/500",
        "APIGW.0608/500",
        "APIGW.0609/500",
        "APIGW.0611/500",
        "APIGW.0612/500",
        "APIGW.0705/500",
        "PM.00000001/400",
        "PM.02175000/400",
        "PM.02175301/400",
        "PM.02303005/400",
    ]
)
CASES: Final = [(case, error) for error, cases in CODES_BY_ERROR.items() for case in cases.split()]


@pytest.fixture
def backend(clock: VirtualClock) -> Backend:
    """A connection with a key pair."""
    return create_backend("projectman", projectman_options(BASE), clock)


def test_the_facts_and_the_table_name_the_same_codes() -> None:
    """No documented code is missing, and none is added."""
    in_table = {re.split("[@:]", key)[0] for key in ERRORS.rows if key.startswith(("APIGW", "PM"))}
    assert in_table == {case.partition("/")[0] for case, _ in CASES}


@pytest.mark.parametrize("key", ERRORS.rows)
def test_every_row_reaches_a_registered_error(key: str) -> None:
    """A row's error is in the registry under its code, and its pointer is a JSON pointer."""
    row = ERRORS.rows[key]
    assert REGISTRY[row.error.code] is row.error
    assert row.pointer is None or row.pointer.startswith("/")


@pytest.mark.parametrize(("case", "error"), CASES)
def test_a_create_raises_the_error_of_every_code(refused: Refused, case: str, error: type[GatewayError]) -> None:
    """The code, then the status, determines the error; if neither proves a refusal the outcome is unknown."""
    code, _, status = case.partition("/")
    raised = refused(int(status), {"error_code": code, "error_msg": "…"})
    assert type(raised) is (OutcomeUnknown if case in UNKNOWN_ON_WRITE else error)
    assert raised.context.failure is not None
    assert (raised.context.failure.status, raised.context.failure.code) == (int(status), code)


@pytest.mark.parametrize(("case", "error"), CASES)
def test_a_list_raises_the_error_of_every_code(
    case: str, error: type[GatewayError], wire: responses.RequestsMock, backend: Backend, call: CallContext
) -> None:
    """A read has no unknown outcome."""
    code, _, status = case.partition("/")
    body = {"error_code": code, "error_msg": "…"}
    wire.get(f"{URL}/modules?limit=100&offset=0", json=body, status=int(status))
    with pytest.raises(GatewayError) as caught:
        backend.list(ModuleQuery(scope=PROJECT), 50, None, call)
    assert caught.type is error


@pytest.mark.parametrize(
    ("status", "create", "read"),
    [
        (302, OutcomeUnknown, BackendMisconfigured),
        (401, BackendRejectedCredentials, BackendRejectedCredentials),
        (403, BackendPermissionDenied, BackendPermissionDenied),
        (404, BackendMisconfigured, BackendMisconfigured),
        (405, BackendMisconfigured, BackendMisconfigured),
        (408, OutcomeUnknown, BackendUnavailable),
        (409, BackendError, BackendError),
        (413, PayloadTooLarge, PayloadTooLarge),
        (429, RateLimited, RateLimited),
        (500, OutcomeUnknown, BackendUnavailable),
        (502, OutcomeUnknown, BackendUnavailable),
    ],
)
@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", {"error_code": "PM.09999999", "error_msg": "m"}])
def test_without_a_known_code_the_status_decides(
    refused: Refused,
    wire: responses.RequestsMock,
    backend: Backend,
    call: CallContext,
    caplog: pytest.LogCaptureFixture,
    status: int,
    create: type[GatewayError],
    read: type[GatewayError],
    body: Any,
) -> None:
    """Unpublished codes are logged as unmapped; without a code it decides for reads, and a write is unknown."""
    with caplog.at_level(logging.INFO, "gateway.backends"):
        error = refused(status, body)
    assert type(error) is (create if isinstance(body, dict) else OutcomeUnknown)
    first = next(record for record in caplog.records if record.name == "gateway.backends")
    assert first.getMessage() == ("unmapped backend code" if isinstance(body, dict) else "backend returned an error")
    raw = body if isinstance(body, bytes) else None
    url = f"{URL}/modules?limit=100&offset=0"
    wire.replace(responses.GET, url, body=raw, json=None if raw is not None else body, status=status)
    with pytest.raises(read):
        backend.list(ModuleQuery(scope=PROJECT), 50, None, call)
