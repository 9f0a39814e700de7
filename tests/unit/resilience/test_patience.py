"""Reads are repeated, within bounds; nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from gateway.backends.cmdb.capabilities import capabilities
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
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery
from gateway.resilience import RetryingBackend
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend
from tests.unit.backends.connections import cmdb_options

DRAFT: Final = ModuleDraft(scope="1", parent="10", name="x", owners=("admin",))
Ask = Callable[[Backend, CallContext], object]
READS: Final[dict[str, Ask]] = {
    "find": lambda backend, call: backend.find_by_natural_key(DRAFT, call),
    "check_place": lambda backend, call: backend.check_target(DRAFT, call),
    "list": lambda backend, call: backend.list(ModuleQuery(scope="1"), 10, None, call),
    "get": lambda backend, call: backend.get("1.10.1", call),
}
WRITES: Final[dict[str, Ask]] = {
    "create": lambda backend, call: backend.create(DRAFT, call),
    "update": lambda backend, call: backend.update("1.10.1", ModulePatch(name="y"), call),
    "delete": lambda backend, call: backend.delete("1.10.1", cascade=False, call=call),
}
PASSING: Final = (BackendUnavailable, BackendTimeout, RateLimited)
LASTING: Final = (
    CircuitOpen, Overloaded, Draining, BackendReplyInvalid, BackendError, ModuleNotFound, OutcomeUnknown,
)  # fmt: skip


class Faltering(FakeBackend):
    """A backend that fails so many times, and then no more."""

    falters: list[GatewayError]

    def _send(self, operation: str, what: object, call: CallContext) -> None:
        super()._send(operation, what, call)
        if self.falters:
            raise self.falters.pop(0)


@pytest.fixture
def inner() -> Faltering:
    """A backend with one module, 1.10.1."""
    rules = capabilities(cmdb_options("http://h"))
    backend = Faltering(name="crm", capabilities=rules, scopes=("1",), parents=("10",))
    backend.falters = []
    backend.create(DRAFT, CallContext("r", 0.0))
    backend.sent.clear()
    return backend


@pytest.fixture
def patient(inner: Faltering, clock: VirtualClock) -> RetryingBackend:
    return RetryingBackend(inner, clock, random=lambda: 0.5)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("error", PASSING)
def test_a_read_is_repeated_twice(
    inner: Faltering, patient: RetryingBackend, call: CallContext, read: str, error: type[GatewayError]
) -> None:
    """What passes is not noticed; the answer is the backend's."""
    inner.falters = [error(), error()]
    answer = READS[read](patient, call)
    assert len(inner.sent) == 3
    assert answer == READS[read](inner, call)


@pytest.mark.parametrize("read", READS)
def test_a_read_is_not_repeated_more_than_twice(
    inner: Faltering, patient: RetryingBackend, call: CallContext, read: str
) -> None:
    """The third failure is the answer."""
    inner.falters = [BackendUnavailable(str(number)) for number in range(5)]
    with pytest.raises(BackendUnavailable, match="2"):
        READS[read](patient, call)
    assert len(inner.sent) == 3


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("error", LASTING)
def test_what_does_not_pass_is_not_repeated(
    inner: Faltering, patient: RetryingBackend, call: CallContext, read: str, error: type[GatewayError]
) -> None:
    """Who asks everybody to stay away is not asked again, and a refusal stays one."""
    inner.falters = [error()]
    with pytest.raises(error):
        READS[read](patient, call)
    assert len(inner.sent) == 1


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("error", PASSING)
def test_a_write_is_sent_once(
    inner: Faltering, patient: RetryingBackend, call: CallContext, write: str, error: type[GatewayError]
) -> None:
    """Whatever it failed with, and although that proves that nothing was applied."""
    inner.falters = [error()]
    with pytest.raises(error):
        WRITES[write](patient, call)
    assert len(inner.sent) == 1


def test_nothing_stands_between_a_caller_and_a_write(inner: Faltering, patient: RetryingBackend) -> None:
    """What is no read is the backend's own method; what it shows, it shows through."""
    for name in ("create", "update", "delete", "scope_of", "natural_key"):
        assert getattr(patient, name) == getattr(inner, name)
    assert (patient.name, patient.capabilities, patient.state) == ("crm", inner.capabilities, "unused")
    inner.state = "circuit_open"
    assert patient.state == "circuit_open"


@pytest.mark.parametrize(
    ("retry_after", "pauses"),
    [(None, [0.05, 0.1]), (0.0, [0.05, 0.1]), (1.0, [1.05, 1.1])],
)
def test_pauses_grow_and_keep_to_what_the_backend_asks_for(
    inner: Faltering,
    patient: RetryingBackend,
    call: CallContext,
    clock: VirtualClock,
    retry_after: float | None,
    pauses: list[float],
) -> None:
    """A random part of 0.1 and of 0.2 seconds, after the time that the backend has named."""
    inner.falters = [RateLimited(context=ErrorContext(retry_after=retry_after)) for _ in range(2)]
    before = clock.monotonic()
    patient.get("1.10.1", call)
    assert clock.monotonic() - before == pytest.approx(sum(pauses), abs=1e-5)


@pytest.mark.parametrize(
    ("left", "retry_after", "sent"),
    [(10.0, 4.9, 2), (10.0, 5.0, 1), (10.0, 300.0, 1), (0.2, None, 2), (0.05, None, 1), (-1.0, None, 1)],
)
def test_who_has_no_time_to_wait_is_answered_at_once(
    inner: Faltering, patient: RetryingBackend, clock: VirtualClock, left: float, retry_after: float | None, sent: int
) -> None:
    """A pause never takes more than half of what is left, so that there is time to ask again."""
    inner.falters = [BackendTimeout(context=ErrorContext(retry_after=retry_after))]
    before, call = clock.monotonic(), CallContext("r", clock.monotonic() + left)
    if sent == 2:
        patient.get("1.10.1", call)
    else:
        with pytest.raises(BackendTimeout):
            patient.get("1.10.1", call)
        assert clock.monotonic() == before
    assert len(inner.sent) == sent


def test_a_failing_backend_is_not_hit_much_harder(
    inner: Faltering, patient: RetryingBackend, clock: VirtualClock
) -> None:
    """Over a thousand reads that all fail, a tenth of them is repeated, and ten more that had been saved."""
    for _ in range(1000):
        inner.falters = [BackendUnavailable(), BackendUnavailable(), BackendUnavailable()]
        with pytest.raises(BackendUnavailable):
            patient.get("1.10.1", CallContext("r", clock.monotonic() + 10.0))
    assert 1000 + 100 <= len(inner.sent) <= 1000 + 110


def test_what_is_saved_is_bounded(inner: Faltering, patient: RetryingBackend, clock: VirtualClock) -> None:
    """After a thousand good reads an outage begins with ten repeats, not with a hundred."""
    for _ in range(1000):
        patient.get("1.10.1", CallContext("r", clock.monotonic() + 10.0))
    inner.sent.clear()
    for _ in range(30):
        inner.falters = [BackendUnavailable(), BackendUnavailable(), BackendUnavailable()]
        with pytest.raises(BackendUnavailable):
            patient.get("1.10.1", CallContext("r", clock.monotonic() + 10.0))
    assert len(inner.sent) == 30 + 10 + 3 - 1


def test_the_answer_is_what_the_port_promises(inner: Faltering, patient: RetryingBackend, call: CallContext) -> None:
    """A wrapped backend is a Backend."""
    backend: Backend = patient
    found: tuple[Module, ...] = backend.find_by_natural_key(DRAFT, call)
    told: Any = [module.name for module in found]
    assert told == ["x"]
