"""A backend's account of a failure, the tables that read it, and the registry of our own errors."""

from __future__ import annotations

import logging
from typing import Any, Final

import pytest

from gateway.domain.error_mapping import ErrorTable, UpstreamFailure, field_error, unknown_on_write
from gateway.domain.errors import (
    REGISTRY,
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


def fault(**told: Any) -> UpstreamFailure:
    return UpstreamFailure(**{"backend": "b", "operation": "list", "is_write": False, "status": 400, **told})


@pytest.mark.parametrize(
    ("told", "keys"),
    [
        ({}, ["list:@400", "@400", "@4xx", "@"]),
        ({"token": "word"}, ["list:@400", "@400", "@4xx", "@"]),
        ({"code": "A1"}, ["list:A1", "A1@400", "A1", "list:@400", "@400", "@4xx", "@"]),
        (
            {"code": "A1", "token": "word", "status": 503, "operation": "create"},
            ["A1:word", "create:A1", "A1@503", "A1", "create:@503", "@503", "@5xx", "@"],
        ),
    ],
)
def test_the_most_telling_key_comes_first(told: dict[str, Any], keys: list[str]) -> None:
    """Word, operation, status narrow a code down; without a code the status speaks, and then nobody."""
    assert list(fault(**told).lookup_keys()) == keys


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"code": "A1"}, ValidationFailed),
        ({"code": "A1", "token": "scope"}, ScopeNotFound),
        ({"code": "A1", "token": "other"}, ValidationFailed),
        ({"code": "A1", "token": "scope", "operation": "create"}, ScopeNotFound),
        ({"code": "A1", "status": 409}, BackendError),
        ({"code": "B2", "status": 403}, BackendPermissionDenied),
        ({"status": 403}, BackendPermissionDenied),
        ({"status": 404}, BackendError),
        ({"status": 404, "operation": "delete"}, ModuleNotFound),
        ({"status": 599}, BackendUnavailable),
        ({"status": 200}, BackendError),
    ],
)
def test_the_first_row_that_fits_decides(told: dict[str, Any], error: type[GatewayError]) -> None:
    """By code first, then by status; never by words that a language changes."""
    assert type(TABLE.to_error(fault(**told))) is error


@pytest.mark.parametrize(("writes", "error"), [(False, BackendUnavailable), (True, OutcomeUnknown)])
def test_what_proves_nothing_leaves_a_write_unknown(writes: bool, error: type[GatewayError]) -> None:
    """An unsure row is its class for a read, and an unknown outcome for a write."""
    found = TABLE.to_error(fault(status=500, is_write=writes))
    assert type(found) is error
    assert found.outcome is (Outcome.UNKNOWN if writes else Outcome.NOT_APPLIED)


def test_a_sure_row_is_the_same_for_a_write() -> None:
    """A refusal is a refusal."""
    assert type(TABLE.to_error(fault(code="A1", is_write=True))) is ValidationFailed


@pytest.mark.parametrize(
    ("told", "errors"),
    [
        ({"code": "A1"}, ()),
        ({"code": "A1", "token": "scope"}, (FieldError("/scope", "scope_not_found", "No such scope"),)),
        (
            {"code": "A1", "operation": "create"},
            (FieldError("/attributes/a", "validation_failed", ValidationFailed.title),),
        ),
    ],
)
def test_a_mistake_is_located_where_the_row_or_its_class_says(
    told: dict[str, Any], errors: tuple[FieldError, ...]
) -> None:
    """A row's pointer comes before the class's; without either nothing is pointed at."""
    assert TABLE.to_error(fault(**told)).errors == errors


def test_evidence_travels_and_words_do_not() -> None:
    """Fault, permission and wait go along; the backend's message is in no text of the error."""
    told = fault(status=403, message="their words", permission={"system_id": "s"}, retry_after=7.0)
    error = TABLE.to_error(told)
    assert error.context == (told, {"system_id": "s"}, 7.0)
    assert "their words" not in f"{error} {error.detail} {error.errors}"


@pytest.mark.parametrize(
    ("told", "level", "message"),
    [
        ({"code": "B2"}, "WARNING", "unmapped backend code"),
        ({"code": "B2", "operation": "delete", "status": 404}, "WARNING", "unmapped backend code"),
        ({"code": "A1"}, "INFO", "backend returned an error"),
        ({"code": "A1", "status": 409}, "INFO", "backend returned an error"),
        ({"status": 403}, "INFO", "backend returned an error"),
    ],
)
def test_a_code_that_no_row_knows_is_logged_as_such(
    told: dict[str, Any], level: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The facts stand in fields, the message is constant, the words are cut to 500 characters."""
    with caplog.at_level(logging.INFO, "gateway.backends"):
        TABLE.to_error(fault(message="x" * 600, request_id="r", **told))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (level, message)
    fields = record.__dict__["fields"]
    assert fields["upstream_message"] == "x" * 500
    assert fields.keys() == {"backend", "operation", "status", "code", "upstream_message", "upstream_request_id"}


def test_an_error_is_published_under_its_code_once() -> None:
    """Two classes of one code cannot be told apart by callers."""
    assert all(error.code == code and error.title and error.meaning() for code, error in REGISTRY.items())
    before = dict(REGISTRY)
    with pytest.raises(TypeError, match="two errors say module_not_found"):
        type("Another", (GatewayError,), {"code": "module_not_found"})
    assert before == REGISTRY


def test_a_group_of_errors_has_no_code_of_its_own() -> None:
    """A class between the root and the registered ones is not published, nor is what inherits a code."""
    before = dict(REGISTRY)
    type("Group", (GatewayError,), {})
    type("Closer", (ModuleNotFound,), {})
    assert before == REGISTRY


def test_an_error_says_its_title_where_nothing_closer_is_known() -> None:
    """`detail` is what callers read; it is also the exception's text."""
    assert str(ModuleNotFound()) == ModuleNotFound().detail == ModuleNotFound.title
    assert str(ModuleNotFound("gone")) == ModuleNotFound("gone").detail == "gone"
