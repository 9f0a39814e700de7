from __future__ import annotations

import logging

import pytest

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message
from gateway.provisioning.journal_health import JournalHealth


def _unavailable(reason: str) -> JournalUnavailable:
    error = JournalUnavailable(message("journal_failed", reason=reason))
    error.__cause__ = OSError("connection refused\n  by the server")
    return error


def test_a_change_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """It is ready once the journal has answered; each change, not each use, is a line with the cause."""
    caplog.set_level(logging.INFO, logger="gateway.journal")
    health = JournalHealth()
    assert health.error is not None
    has_answered = False
    for error in (_unavailable("one"), _unavailable("one"), None, None, _unavailable("one"), _unavailable("two")):
        health.record(error)
        has_answered = has_answered or error is None
        assert health.error is (None if has_answered else error)
    lines = [(record.getMessage(), getattr(record, "fields", {}).get("reason")) for record in caplog.records]
    assert lines == [
        ("journal unavailable", "The journal cannot be used: one."),
        ("journal available", None),
        ("journal unavailable", "The journal cannot be used: one."),
        ("journal unavailable", "The journal cannot be used: two."),
    ]
    assert caplog.records[0].__dict__["fields"]["cause"] == "connection refused by the server"
