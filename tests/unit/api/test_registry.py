"""The public error codes are frozen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from gateway.api.error_handlers import HTTP_STATUS
from gateway.api.request_parsing import _MESSAGE_KEYS
from gateway.domain import errors
from gateway.domain.errors import REGISTRY

#: code: (status, outcome, retryable), as section 3 of the contract lists them.
CONTRACT = {
    "backend_error": (502, "not_applied", False),
    "backend_misconfigured": (502, "not_applied", False),
    "backend_permission_denied": (403, "not_applied", False),
    "backend_read_only": (503, "not_applied", True),
    "backend_rejected_credentials": (502, "not_applied", False),
    "backend_reply_invalid": (502, "not_applied", False),
    "backend_timeout": (504, "not_applied", True),
    "backend_unavailable": (503, "not_applied", True),
    "backend_unknown": (422, "not_applied", False),
    "built_in_protected": (409, "not_applied", False),
    "changes_expired": (410, "not_applied", False),
    "circuit_open": (503, "not_applied", True),
    "create_in_progress": (409, "not_applied", True),
    "description_required": (422, "not_applied", False),
    "draining": (503, "not_applied", True),
    "forbidden": (403, "not_applied", False),
    "idempotency_key_invalid": (400, "not_applied", False),
    "idempotency_key_reused": (422, "not_applied", False),
    "immutable_field": (422, "not_applied", False),
    "internal": (500, "unknown", False),
    "invalid_json": (400, "not_applied", False),
    "journal_unavailable": (503, "not_applied", True),
    "limit_exceeded": (409, "not_applied", False),
    "malformed_request": (400, "not_applied", False),
    "method_not_allowed": (405, "not_applied", False),
    "module_already_exists": (409, "not_applied", False),
    "module_busy": (409, "not_applied", True),
    "module_exists_differently": (409, "not_applied", False),
    "module_not_empty": (409, "not_applied", False),
    "module_not_found": (404, "not_applied", False),
    "not_acceptable": (406, "not_applied", False),
    "not_found": (404, "not_applied", False),
    "not_supported": (404, "not_applied", False),
    "operation_not_found": (404, "not_applied", False),
    "operation_not_resolvable": (409, "not_applied", False),
    "outcome_ambiguous": (504, "unknown", False),
    "outcome_unknown": (504, "unknown", True),
    "overloaded": (503, "not_applied", True),
    "owner_not_found": (422, "not_applied", False),
    "parent_not_found": (422, "not_applied", False),
    "payload_too_large": (413, "not_applied", False),
    "precondition_failed": (412, "not_applied", False),
    "rate_limited": (429, "not_applied", True),
    "request_timeout": (408, "not_applied", True),
    "scope_not_found": (422, "not_applied", False),
    "template_managed": (409, "not_applied", False),
    "unauthenticated": (401, "not_applied", False),
    "unique_field_conflict": (409, "not_applied", False),
    "unsupported_field": (422, "not_applied", False),
    "unsupported_media_type": (415, "not_applied", False),
    "update_not_kept": (409, "applied or not_applied", False),
    "validation_failed": (422, "not_applied", False),
}


def test_frozen(client: FlaskClient) -> None:
    """/errors lists exactly these codes with status, outcome and retryable, sorted by code."""
    errors = client.get("/errors").get_json()["errors"]
    assert {error["code"]: (error["status"], error["outcome"], error["retryable"]) for error in errors} == CONTRACT
    assert [error["code"] for error in errors] == sorted(CONTRACT)


def test_statuses() -> None:
    """Every registered error has an HTTP status."""
    assert HTTP_STATUS.keys() == REGISTRY.keys()


@pytest.mark.parametrize(("code", "row"), CONTRACT.items())
def test_outcomes(code: str, row: tuple[int, str, bool]) -> None:
    """4xx and 503 are not applied, unless the backend kept other values; an unknown outcome is 504 or 500."""
    status, outcome, retryable = row
    if (status < 500 or status == 503) and code != "update_not_kept":
        assert outcome == "not_applied"
    if outcome == "unknown":
        assert status in {500, 504}
    assert (
        not retryable or status in {429, 503, 504} or code in {"create_in_progress", "module_busy", "request_timeout"}
    )


@pytest.mark.parametrize("code", CONTRACT)
def test_texts(client: FlaskClient, code: str) -> None:
    """Every code has a title of one line and a distinct, longer meaning."""
    entries = {error["code"]: error for error in client.get("/errors").get_json()["errors"]}
    assert entries[code]["title"].strip()
    assert "\n" not in entries[code]["title"]
    assert len(entries[code]["meaning"]) > len(entries[code]["title"])
    assert [entry["meaning"] for entry in entries.values()].count(entries[code]["meaning"]) == 1


def test_codes_of_field_errors(client: FlaskClient) -> None:
    """/errors lists the codes of errors[]; the source uses no others, besides those of errors."""
    published = {entry["code"] for entry in client.get("/errors").get_json()["field_errors"]}
    assert published == {
        "choice", "duplicate", "not_kept", "null", "pattern", "range", "repeated", "required", "too_long", "too_many",
        "type", "unknown_field",
    }  # fmt: skip
    source = "".join(path.read_text(encoding="utf-8") for path in Path(errors.__file__).parents[1].rglob("*.py"))
    used = set(re.findall(r'FieldError\(\s*[^,()]+(?:\([^()]*\))?,\s*"(\w+)"', source)) | _MESSAGE_KEYS.keys()
    assert len(used) > 10
    assert used <= published | REGISTRY.keys()
