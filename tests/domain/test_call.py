"""A call on its way through the gateway."""

from __future__ import annotations

from dataclasses import fields, replace

from gateway.domain.ports import Call


def test_what_is_sent_is_the_same_call() -> None:
    """All that a request says of itself goes along with its create; the time spent upstream begins anew."""
    call = Call("id", 1.0, "earlier", "user", "credential", {"traceparent": "t"}, 7.0)
    assert all(getattr(call, field.name) != field.default for field in fields(Call))
    assert call.sending("op", 5.0) == replace(call, operation_id="op", deadline=5.0, upstream_seconds=0.0)
