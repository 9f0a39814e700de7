"""A call on its way through the gateway."""

from __future__ import annotations

from dataclasses import fields, replace

from gateway.domain.backend import CallContext


def test_what_is_sent_is_the_same_call() -> None:
    """All that a request says of itself goes along with its create; the time spent upstream begins anew."""
    call = CallContext("id", 1.0, "earlier", "user", "credential", {"traceparent": "t"}, 7.0)
    assert all(getattr(call, field.name) != field.default for field in fields(CallContext))
    assert call.for_create("op", 5.0) == replace(call, operation_id="op", deadline=5.0, upstream_seconds=0.0)
