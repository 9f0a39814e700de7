"""Errors in the journal: the round trip, and the format of versions that stored only English texts."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.error_mapping import UpstreamFailure
from gateway.domain.errors import ErrorContext, FieldError, GatewayError, RateLimited, ValidationFailed
from gateway.domain.messages import message, verbatim
from gateway.provisioning.serialization import error_from_json, error_to_json

FAILURE = UpstreamFailure(backend="cmdb", operation="create", is_write=True, status=200, code="1", message="secret")
ERRORS: tuple[GatewayError, ...] = (
    RateLimited(context=ErrorContext(FAILURE, {"system_id": "bk_cmdb"}, 2.5)),
    ValidationFailed(
        message("at_most", maximum=3),
        errors=[
            FieldError("/name", "pattern", message("pattern"), message("accepts_cmdb_name", maximum=256)),
            FieldError("/scope", "scope_not_found"),
        ],
        existing="cmdb.1.10.9",
        diff={"/name": {"wanted": "a", "found": "b"}},
    ),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_round_trip(error: GatewayError) -> None:
    """A stored error has the same code, message, field errors and context; the backend's message is not stored."""
    document = error_to_json(error)
    stored = error_from_json(document)
    assert type(stored) is type(error)
    assert (stored.message, stored.errors) == (error.message, error.errors)
    assert (stored.existing, stored.diff) == (error.existing, error.diff)
    assert "secret" not in repr(document)
    assert stored.context[1:] == error.context[1:]
    if error.context.failure is not None:
        assert stored.context.failure is not None
        assert (stored.context.failure.is_write, stored.context.failure.message) == (True, "")


def test_stored_format_of_older_versions() -> None:
    """A stored error has the members that older versions read, in English; texts that they stored are read verbatim."""
    document: dict[str, Any] = error_to_json(ERRORS[1])
    assert document["detail"] == "'?' must be at most 3."
    assert [error["detail"] for error in document["errors"]] == [ERRORS[1].errors[0].detail, "Scope not found"]
    assert all(error.keys() == {"pointer", "code", "detail", "allowed"} for error in document["errors"])
    fault = error_to_json(ERRORS[0])["fault"]
    assert fault["writes"] is True
    assert {"token", "code", "status"} <= fault.keys()
    assert {"is_write", "word"}.isdisjoint(fault)
    del document["messages"]
    stored = error_from_json(document)
    assert stored.message == verbatim("'?' must be at most 3.")
    assert stored.errors[1] == FieldError("/scope", "scope_not_found", verbatim("Scope not found"))
    assert str(stored.errors[0].allowed).startswith("1 to 256 bytes")
