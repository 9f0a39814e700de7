"""What every refusal of the service looks like, asserted in one place."""

from __future__ import annotations

from typing import Any, Final

from werkzeug.test import TestResponse

ALWAYS: Final = {"type", "title", "status", "detail", "code", "outcome", "retryable", "request_id"}
_WRITES: Final = {"POST", "PATCH", "PUT", "DELETE"}


def assert_problem(response: TestResponse, status: int, code: str, outcome: str = "not_applied") -> dict[str, Any]:
    """Assert the envelope of section 3 of the contract and return it."""
    assert response.content_type == "application/problem+json"
    told: dict[str, Any] = response.get_json()
    assert (response.status_code, told["code"], told["outcome"]) == (status, code, outcome)
    assert told.keys() >= ALWAYS
    assert told["type"] == f"/errors#{code}"
    assert told["status"] == status
    assert told["request_id"] == response.headers["X-Request-Id"]
    assert response.headers.get("Gateway-Outcome") == (outcome if response.request.method in _WRITES else None)
    return told


def field_errors(told: dict[str, Any]) -> set[tuple[str, str]]:
    """Return where and what the mistakes of a refusal are."""
    return {(each["pointer"], each["code"]) for each in told["errors"]}
