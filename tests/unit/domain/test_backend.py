"""The context of a call."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields, replace
from functools import partial

from gateway.domain.backend import CallContext
from gateway.domain.snapshot import Snapshots


def test_the_context_of_a_create() -> None:
    """Everything that the request carries is kept; the time spent upstream starts at zero."""
    call = CallContext(
        "id",
        1.0,
        "earlier",
        "user",
        "credential",
        "caller",
        Snapshots(),
        {"traceparent": "t"},
        7.0,
        partial(nullcontext),
    )
    assert all(getattr(call, field.name) != field.default for field in fields(CallContext))
    assert call.for_create("op", 5.0) == replace(call, operation_id="op", deadline=5.0, upstream_seconds=0.0)
