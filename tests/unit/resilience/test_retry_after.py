"""The retry-after times of both backends, in each of their forms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.backends.cmdb.client import unwrap_envelope
from gateway.backends.projectman.errors import parse_failure
from gateway.domain.errors import RateLimited
from gateway.transport import UpstreamResponse

_THROTTLED = "The throttling threshold has been reached: policy user over ratelimit,limit:100,time:1 minute"


def response(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> UpstreamResponse:
    return UpstreamResponse(status, headers, json.dumps(body).encode(), is_write=False)


@pytest.mark.parametrize(
    ("status", "code", "headers", "seconds"),
    [
        (429, 1642902, {"X-Bkapi-RateLimit-Reset": "7"}, 7.0),
        (429, 1642902, {"Retry-After": "3", "X-Bkapi-RateLimit-Reset": "7"}, 3.0),
        (429, 1642902, {"Retry-After": "Sun, 22 Nov 2026 12:00:00 GMT", "X-Bkapi-RateLimit-Reset": "7"}, 7.0),
        (429, 1642902, {"Retry-After": "soon", "X-Bkapi-RateLimit-Reset": "7"}, 7.0),
        (200, 1642902, {"X-Bkapi-RateLimit-Reset": "0"}, 0.0),
        (429, 1642904, {}, None),
        (200, 1199997, {}, None),
    ],
)
def test_cmdb_headers(status: int, code: int, headers: Mapping[str, str], seconds: float | None) -> None:
    """documented: cmdb.md §5: the API gateway sends the time when its window is reset, and no Retry-After."""
    with pytest.raises(RateLimited) as limited:
        unwrap_envelope(response(status, {"result": False, "code": code}, headers), "cmdb", "search")
    assert limited.value.context.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "code", "message", "headers", "seconds"),
    [
        (429, "APIGW.0308", _THROTTLED, {}, 60.0),
        (429, "APIGW.0308", _THROTTLED, {"Retry-After": "2"}, 2.0),
        (429, "APIGW.0308", "limit:10,time:5 second", {}, 5.0),
        (400, "PM.02153001", "访问频率过高,请稍后再试", {}, 1.0),
        (401, "APIGW.0301", "AK access failed to reach the limit,forbidden", {}, 300.0),
        (400, "PM.02152001", "参数错误", {}, None),
        (502, None, "", {}, None),
    ],
)
def test_projectman_messages(
    status: int, code: str | None, message: str, headers: Mapping[str, str], seconds: float | None
) -> None:
    """documented: projectman.md §4: the throttle's message, five minutes for a locked key, §6.20 for the service's."""
    body = {} if code is None else {"error_code": code, "error_msg": message}
    assert parse_failure(response(status, body, headers), "pm", "list").retry_after == seconds


_NOW = 1_795_348_800.0  # Sunday, 22 November 2026, 12:00:00 UTC


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 11:59:00 GMT", 0.0),  # past
        ("Sun, 22 Nov 1926 11:59:00 GMT", 0.0),
        ("9" * 30, 86_400.0),  # huge
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("٣", None),
        ("1e3", None),
        ("Sun, 22 Nov 99999999999999999999 12:00:00 GMT", None),
        ("9" * 60_000, None),
        ("Sun, " * 10_000, None),
    ],
)
@pytest.mark.parametrize("skew", [0.0, -7_200.0])
def test_every_form_of_the_header(text: str, seconds: float | None, skew: float) -> None:
    """Seconds and the three forms of a date (RFC 9110, 5.6.7); a date is on the clock of the Date header."""
    answer = UpstreamResponse(429, {"Retry-After": text}, b"", is_write=False, received_at=_NOW)
    assert answer.retry_after() == seconds
    if skew:
        answer.headers = {**answer.headers, "Date": "Sun, 22 Nov 2026 12:00:00 GMT"}
        answer.received_at = _NOW + skew
        assert answer.retry_after() == seconds


def test_a_date_without_a_clock() -> None:
    """Without any time to compare with, a date tells nothing."""
    answer = UpstreamResponse(429, {"Retry-After": "Sun, 22 Nov 2026 12:00:30 GMT"}, b"", is_write=False)
    assert answer.retry_after() is None
