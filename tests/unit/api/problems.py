"""Assertions about problem documents."""

from __future__ import annotations

from typing import Any, Final

from werkzeug.test import TestResponse

ALWAYS: Final = {"type", "title", "status", "detail", "code", "outcome", "retryable", "request_id"}
_WRITES: Final = {"POST", "PATCH", "PUT", "DELETE"}


def assert_problem(response: TestResponse, status: int, code: str, outcome: str = "not_applied") -> dict[str, Any]:
    """Assert that the response is this problem, as section 3 of the contract defines it, and return the document."""
    assert response.content_type == "application/problem+json"
    problem: dict[str, Any] = response.get_json()
    assert (response.status_code, problem["code"], problem["outcome"]) == (status, code, outcome)
    assert problem.keys() >= ALWAYS
    assert problem["type"] == f"/errors#{code}"
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert response.headers.get("Gateway-Outcome") == (outcome if response.request.method in _WRITES else None)
    return problem


def field_errors(problem: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the pointers and codes of a problem's field errors; `?name` stands for a parameter of the query."""
    places = [(error.keys() & {"in", "parameter", "pointer"}, error) for error in problem["errors"]]
    assert all(place in ({"pointer"}, {"in", "parameter"}) for place, _ in places)
    assert {error.get("in", "query") for error in problem["errors"]} == {"query"}
    return {(error.get("pointer") or f"?{error['parameter']}", error["code"]) for error in problem["errors"]}
