"""A backend's error response, and the tables that map it to an error."""

from __future__ import annotations

import logging
from typing import Any, Final

import pytest

from gateway.domain.error_mapping import ErrorTable, UpstreamFailure, clip, field_error, unknown_on_write
from gateway.domain.errors import (
    BackendError,
    BackendPermissionDenied,
    BackendUnavailable,
    FieldError,
    GatewayError,
    ModuleNotFound,
    Outcome,
    OutcomeUnknown,
    ScopeNotFound,
    ValidationFailed,
)

TABLE: Final = ErrorTable(
    {
        "@": unknown_on_write(BackendError),
        "@403": BackendPermissionDenied,
        "@5xx": unknown_on_write(BackendUnavailable),
        "delete:@404": ModuleNotFound,
        "A1": ValidationFailed,
        "A1:scope": ScopeNotFound,
        "A1@409": BackendError,
        "create:A1": field_error("/attributes/a", ValidationFailed),
    }
)


def failure(**fields: Any) -> UpstreamFailure:
    return UpstreamFailure(**{"backend": "b", "operation": "list", "is_write": False, "status": 400, **fields})


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({}, ["list:@400", "@400", "@4xx", "@"]),
        ({"word": "word"}, ["list:@400", "@400", "@4xx", "@"]),
        ({"code": "A1"}, ["list:A1", "A1@400", "A1", "list:@400", "@400", "@4xx", "@"]),
        (
            {"code": "A1", "word": "word", "status": 503, "operation": "create"},
            ["A1:word", "create:A1", "A1@503", "A1", "create:@503", "@503", "@5xx", "@"],
        ),
    ],
)
def test_the_most_specific_key_comes_first(fields: dict[str, Any], keys: list[str]) -> None:
    """A code with its word, operation or status comes before the code, then the status, then the fallback."""
    assert list(failure(**fields).lookup_keys()) == keys


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"code": "A1"}, ValidationFailed),
        ({"code": "A1", "word": "scope"}, ScopeNotFound),
        ({"code": "A1", "word": "other"}, ValidationFailed),
        ({"code": "A1", "word": "scope", "operation": "create"}, ScopeNotFound),
        ({"code": "A1", "status": 409}, BackendError),
        ({"code": "B2", "status": 403}, BackendPermissionDenied),
        ({"status": 403}, BackendPermissionDenied),
        ({"status": 404}, BackendError),
        ({"status": 404, "operation": "delete"}, ModuleNotFound),
        ({"status": 599}, BackendUnavailable),
        ({"status": 200}, BackendError),
    ],
)
def test_the_first_matching_rule_decides(fields: dict[str, Any], error: type[GatewayError]) -> None:
    """The code comes first, then the status; the message is never used."""
    assert type(TABLE.to_error(failure(**fields))) is error


@pytest.mark.parametrize("status", [200, 400, 403, 404, 499])
def test_a_write_without_a_code_is_unknown(status: int) -> None:
    """It may have been answered by a proxy after it was applied; a read raises the error of the status."""
    delete = failure(status=status, is_write=True, operation="delete")
    assert type(TABLE.to_error(delete)) is OutcomeUnknown
    coded = failure(status=status, is_write=True, operation="delete", code="B2")
    assert (type(TABLE.to_error(coded)) is OutcomeUnknown) is (status in {200, 400, 499})


@pytest.mark.parametrize(("is_write", "error"), [(False, BackendUnavailable), (True, OutcomeUnknown)])
def test_unknown_on_write(is_write: bool, error: type[GatewayError]) -> None:
    """The rule's class for a read, and an unknown outcome for a write."""
    mapped = TABLE.to_error(failure(status=500, is_write=is_write))
    assert type(mapped) is error
    assert mapped.outcome is (Outcome.UNKNOWN if is_write else Outcome.NOT_APPLIED)


def test_a_refused_write() -> None:
    """Without unknown_on_write a rule means the same for reads and writes."""
    assert type(TABLE.to_error(failure(code="A1", is_write=True))) is ValidationFailed


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"code": "A1"}, ()),
        ({"code": "A1", "word": "scope"}, (FieldError("/scope", "scope_not_found"),)),
        (
            {"code": "A1", "operation": "create"},
            (FieldError("/attributes/a", "validation_failed"),),
        ),
    ],
)
def test_the_pointer_of_a_field_error(fields: dict[str, Any], errors: tuple[FieldError, ...]) -> None:
    """The rule's pointer comes before the class's; without both there is no field error."""
    assert TABLE.to_error(failure(**fields)).errors == errors


def test_the_context_without_the_message() -> None:
    """Failure, permission and retry time are kept; no text of the error has the backend's message."""
    denied = failure(status=403, message="their words", permission={"system_id": "s"}, retry_after=7.0)
    error = TABLE.to_error(denied)
    assert error.context == (denied, {"system_id": "s"}, 7.0)
    assert "their words" not in f"{error} {error.detail} {error.errors}"


@pytest.mark.parametrize(
    ("fields", "level", "message"),
    [
        ({"code": "B2"}, "WARNING", "unmapped backend code"),
        ({"code": "B2", "operation": "delete", "status": 404}, "WARNING", "unmapped backend code"),
        ({"code": "A1"}, "INFO", "backend returned an error"),
        ({"code": "A1", "status": 409}, "INFO", "backend returned an error"),
        ({"status": 403}, "INFO", "backend returned an error"),
    ],
)
def test_an_unmapped_code_is_logged(
    fields: dict[str, Any], level: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log message is constant, and the backend's message is cut to 500 characters."""
    with caplog.at_level(logging.INFO, "gateway.backends"):
        TABLE.to_error(failure(message="x " * 300, request_id="r", **fields))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (level, message)
    logged = record.__dict__["fields"]
    assert logged["upstream_message"] == "x " * 250
    assert logged.keys() == {"backend", "call", "status", "code", "upstream_message", "upstream_request_id"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short secret", "short secret"),
        ("word " * 100, "word " * 100),
        ("word " * 99 + "cGFzc3dvcmQ=" * 9, "word " * 99),
        ('"' + "x" * 600 + '"', '"'),
    ],
)
def test_a_token_that_would_be_cut_is_left_out(text: str, expected: str) -> None:
    """A logged message ends before a token that does not fit: redaction finds whole secrets."""
    assert clip(text) == expected
