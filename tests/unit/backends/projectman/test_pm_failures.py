"""What an error response contains besides its code: retry time and request id, in every shape."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.backends.projectman import create_backend
from gateway.domain.backend import Backend
from gateway.domain.errors import BackendRejectedCredentials, BackendUnavailable, RateLimited
from tests.conftest import VirtualClock
from tests.unit.backends.connections import projectman_options
from tests.unit.backends.projectman.conftest import Refused
from tests.unit.backends.projectman.service_stub import BASE


@pytest.fixture
def backend(clock: VirtualClock) -> Backend:
    """A connection with a key pair."""
    return create_backend("projectman", projectman_options(BASE), clock)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error_code": "APIG.0203", "error_msg": "m"}, "APIGW.0203"),
        ({"errorCode": "PM.02177003", "errorMsg": "m"}, "PM.02177003"),
        ({"code": "PM.02177003", "message": "m"}, "PM.02177003"),
        ({"error": {"code": "DEV.CH.10001", "message": "m"}, "status": "failed"}, "DEV.CH.10001"),
        ({"error": {"code": 401, "message": "m", "title": "Unauthorized"}}, None),
        ({"error_code": 7, "error_msg": "m"}, None),
        ({"error_code": "two words", "error_msg": "m"}, None),
        ({"error_code": "", "code": "PM.02177003"}, "PM.02177003"),
        ({"error": "text"}, None),
        ([], None),
    ],
)
def test_every_shape_of_an_error_is_parsed(refused: Refused, body: Any, code: str | None) -> None:
    """documented: projectman.md §4a: three spellings, one nested, Keystone's with an integer; APIG. means APIGW."""
    failure = refused(422, body).context.failure
    assert failure is not None
    assert failure.code == code


@pytest.mark.parametrize(
    ("message", "headers", "seconds"),
    [
        ("policy user over ratelimit,limit:100,time:1 minute", {}, 60.0),
        ("policy ip over ratelimit,limit:5,time:30 second", {}, 30.0),
        ("policy api over ratelimit,limit:5,time:2 hour", {}, 7200.0),
        ("limit:5,time:1 day", {}, 86400.0),
        ("limit:5,time:1 minute", {"Retry-After": "7"}, 7.0),
        ("limit:5,time:1 minute", {"Retry-After": "soon"}, 60.0),
        ("limit:x,time:y", {}, None),
        ("访问频率过高,请稍后再试", {}, None),
    ],
)
def test_the_retry_time_is_read_from_header_or_message(
    refused: Refused, message: str, headers: dict[str, str], seconds: float | None
) -> None:
    """documented: projectman.md §4a: the throttling message; the header takes precedence."""
    body = {"error_msg": message, "error_code": "APIGW.0308", "request_id": "abc"}
    error = refused(429, body, **headers)
    assert type(error) is RateLimited
    assert error.context.retry_after == seconds


def test_a_locked_key_is_unavailable_for_five_minutes(refused: Refused) -> None:
    """documented: projectman.md §4c: the key is locked, not wrong."""
    body = {"error_code": "APIGW.0301", "error_msg": "AK access failed to reach the limit,forbidden"}
    error = refused(401, body)
    assert (type(error), error.context.retry_after) == (BackendUnavailable, 300.0)


@pytest.mark.parametrize("message", ["verify aksk signature fail", "Get secretKey failed", "token expires"])
def test_a_wrong_key_is_used_once(refused: Refused, message: str) -> None:
    """documented: projectman.md §6, 17: five failures lock the key; a signature cannot be refreshed."""
    body = {"error_code": "APIGW.0301", "error_msg": f"Incorrect IAM authentication information: {message}"}
    assert type(refused(401, body)) is BackendRejectedCredentials


@pytest.mark.parametrize(
    ("body", "headers", "request_id"),
    [
        ({"request_id": "abc"}, {}, "abc"),
        ({"request_id": "abc"}, {"X-Request-Id": "head"}, "head"),
        ({}, {"X-IAM-Trace-Id": "trace"}, "trace"),
        ({"request_id": "two words"}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_request_id_is_read_from_body_or_headers(
    refused: Refused, body: dict[str, Any], headers: dict[str, str], request_id: str | None
) -> None:
    """documented: projectman.md §4a: API Gateway's in the body, the services' in a header."""
    failure = refused(403, {"error_code": "APIGW.0302", **body}, **headers).context.failure
    assert failure is not None
    assert failure.request_id == request_id
