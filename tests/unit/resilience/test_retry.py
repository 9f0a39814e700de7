"""Reads are retried, within limits; writes are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from gateway.backends.cmdb.capabilities import build_capabilities
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    BackendError,
    BackendReplyInvalid,
    BackendTimeout,
    BackendUnavailable,
    CircuitOpen,
    Draining,
    ErrorContext,
    GatewayError,
    ModuleNotFound,
    OutcomeUnknown,
    Overloaded,
    RateLimited,
)
from gateway.domain.lookup import LookupQuery
from gateway.domain.messages import verbatim
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery
from gateway.resilience import RetryingBackend
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend
from tests.unit.backends.connections import cmdb_options

DRAFT: Final = ModuleDraft(scope="1", parent="10", name="x", owners=("admin",))
Operation = Callable[[Backend, CallContext], object]
READS: Final[dict[str, Operation]] = {
    "find": lambda backend, call: backend.find_by_natural_key(DRAFT, call),
    "check_target": lambda backend, call: backend.check_target(DRAFT, call),
    "list": lambda backend, call: backend.list(ModuleQuery(scope="1"), 10, None, call),
    "get": lambda backend, call: backend.get("1.10.1", call),
    "lookup": lambda backend, call: backend.lookup(LookupQuery(kind="scopes"), 10, None, call),
}
WRITES: Final[dict[str, Operation]] = {
    "create": lambda backend, call: backend.create(DRAFT, call),
    "update": lambda backend, call: backend.update("1.10.1", ModulePatch(name="y"), call),
    "delete": lambda backend, call: backend.delete("1.10.1", call),
}
TRANSIENT: Final = (BackendUnavailable, BackendTimeout, RateLimited)
PERMANENT: Final = (
    CircuitOpen, Overloaded, Draining, BackendReplyInvalid, BackendError, ModuleNotFound, OutcomeUnknown,
)  # fmt: skip


class FailingBackend(FakeBackend):
    """A backend that first raises the errors in `errors`, one per call."""

    errors: list[GatewayError]

    def _send(self, operation: str, argument: object, call: CallContext) -> None:
        super()._send(operation, argument, call)
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def inner() -> FailingBackend:
    """A backend with one module, 1.10.1."""
    rules = build_capabilities(cmdb_options("http://h"))
    backend = FailingBackend(name="crm", capabilities=rules, scopes=("1",), parents=("10",))
    backend.errors = []
    backend.create(DRAFT, CallContext("r", 0.0))
    backend.sent.clear()
    return backend


@pytest.fixture
def retrying(inner: FailingBackend, clock: VirtualClock) -> RetryingBackend:
    return RetryingBackend(inner, clock, random=lambda: 0.5)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("error", TRANSIENT)
def test_read_is_retried_twice(
    inner: FailingBackend, retrying: RetryingBackend, call: CallContext, read: str, error: type[GatewayError]
) -> None:
    """Two transient failures do not reach the caller; the result is the backend's."""
    inner.errors = [error(), error()]
    result = READS[read](retrying, call)
    assert len(inner.sent) == 3
    assert result == READS[read](inner, call)


@pytest.mark.parametrize("read", READS)
def test_read_is_not_retried_a_third_time(
    inner: FailingBackend, retrying: RetryingBackend, call: CallContext, read: str
) -> None:
    """The third failure is raised."""
    inner.errors = [BackendUnavailable(verbatim(str(number))) for number in range(5)]
    with pytest.raises(BackendUnavailable, match="2"):
        READS[read](retrying, call)
    assert len(inner.sent) == 3


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("error", PERMANENT)
def test_permanent_error_is_not_retried(
    inner: FailingBackend, retrying: RetryingBackend, call: CallContext, read: str, error: type[GatewayError]
) -> None:
    """Refusals are not retried, nor are errors that tell callers to reduce their load."""
    inner.errors = [error()]
    with pytest.raises(error):
        READS[read](retrying, call)
    assert len(inner.sent) == 1


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("error", TRANSIENT)
def test_write_is_sent_once(
    inner: FailingBackend, retrying: RetryingBackend, call: CallContext, write: str, error: type[GatewayError]
) -> None:
    """A write is not retried after any error, even if the error proves that nothing was applied."""
    inner.errors = [error()]
    with pytest.raises(error):
        WRITES[write](retrying, call)
    assert len(inner.sent) == 1


def test_other_methods_are_unchanged(inner: FailingBackend, retrying: RetryingBackend) -> None:
    """Methods other than reads, and the state, are those of the wrapped backend."""
    for name in ("create", "descendants", "delete", "scope_of", "natural_key"):
        assert getattr(retrying, name) == getattr(inner, name)
    assert (retrying.name, retrying.capabilities, retrying.state) == ("crm", inner.capabilities, "unused")
    inner.state = "circuit_open"
    assert retrying.state == "circuit_open"


@pytest.mark.parametrize(
    ("retry_after", "delays"),
    [(None, [0.05, 0.1]), (0.0, [0.05, 0.1]), (1.0, [1.05, 1.1])],
)
def test_retry_delays(
    inner: FailingBackend,
    retrying: RetryingBackend,
    call: CallContext,
    clock: VirtualClock,
    retry_after: float | None,
    delays: list[float],
) -> None:
    """A random part of 0.1 and of 0.2 seconds, added to the backend's Retry-After."""
    inner.errors = [RateLimited(context=ErrorContext(retry_after=retry_after)) for _ in range(2)]
    before = clock.monotonic()
    retrying.get("1.10.1", call)
    assert clock.monotonic() - before == pytest.approx(sum(delays), abs=1e-5)


@pytest.mark.parametrize(
    ("remaining", "retry_after", "sent"),
    [(10.0, 4.9, 2), (10.0, 5.0, 1), (10.0, 300.0, 1), (0.2, None, 2), (0.05, None, 1), (-1.0, None, 1)],
)
def test_no_time_left(
    inner: FailingBackend,
    retrying: RetryingBackend,
    clock: VirtualClock,
    remaining: float,
    retry_after: float | None,
    sent: int,
) -> None:
    """A delay is at most half of the remaining time; if a longer one is needed, the read is not retried."""
    inner.errors = [BackendTimeout(context=ErrorContext(retry_after=retry_after))]
    before, call = clock.monotonic(), CallContext("r", clock.monotonic() + remaining)
    if sent == 2:
        retrying.get("1.10.1", call)
    else:
        with pytest.raises(BackendTimeout):
            retrying.get("1.10.1", call)
        assert clock.monotonic() == before
    assert len(inner.sent) == sent


def test_budget_limits_retries(inner: FailingBackend, retrying: RetryingBackend, clock: VirtualClock) -> None:
    """Of a thousand failing reads a tenth is retried, and ten more from the initial balance."""
    for _ in range(1000):
        inner.errors = [BackendUnavailable(), BackendUnavailable(), BackendUnavailable()]
        with pytest.raises(BackendUnavailable):
            retrying.get("1.10.1", CallContext("r", clock.monotonic() + 10.0))
    assert 1000 + 100 <= len(inner.sent) <= 1000 + 110


def test_budget_is_capped(inner: FailingBackend, retrying: RetryingBackend, clock: VirtualClock) -> None:
    """After a thousand successful reads an outage starts with ten retries, not with a hundred."""
    for _ in range(1000):
        retrying.get("1.10.1", CallContext("r", clock.monotonic() + 10.0))
    inner.sent.clear()
    for _ in range(30):
        inner.errors = [BackendUnavailable(), BackendUnavailable(), BackendUnavailable()]
        with pytest.raises(BackendUnavailable):
            retrying.get("1.10.1", CallContext("r", clock.monotonic() + 10.0))
    assert len(inner.sent) == 30 + 10 + 3 - 1


def test_implements_backend(inner: FailingBackend, retrying: RetryingBackend, call: CallContext) -> None:
    """A RetryingBackend is a Backend."""
    backend: Backend = retrying
    modules: tuple[Module, ...] = backend.find_by_natural_key(DRAFT, call)
    assert [module.name for module in modules] == ["x"]
