"""An operation of several exchanges that fails at any of them: an applied change is never reported as not applied.

An update in CMDB is a write and a read; a deletion in ProjectMan is a read and one write per module of the subtree.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import pytest

from gateway.app import SystemRuntime
from gateway.backends import cmdb, projectman
from gateway.domain.backend import Backend, BackendServices, CallContext
from gateway.domain.errors import CircuitOpen, GatewayError, Outcome, Overloaded
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft, ModulePatch
from gateway.domain.operation import State
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.update_delete import ChangeService
from gateway.resilience import RetryingBackend
from gateway.transport import TransportSettings
from gateway.twins.cmdb import create_twin as create_cmdb
from gateway.twins.projectman import create_twin as create_projectman
from gateway.twins.server import running
from tests.conftest import VirtualClock
from tests.contract.testbed import effective_writes
from tests.unit.backends.connections import OWNER, PROJECT, cmdb_options, projectman_options
from tests.unit.transport.doubles import After

pytestmark = pytest.mark.loopback
LIMITS: Final = TransportSettings(requests_per_second=1.0)
UNLIMITED: Final = 10_000
_NUMBERS: Final = itertools.count(1)


def circuit_open() -> float:
    raise CircuitOpen


def overloaded() -> float:
    raise Overloaded


#: The ways in which admission control refuses an exchange, by error code.
ADMISSION_FAILURES: Final = {"rate_limited": lambda: 60.0, "circuit_open": circuit_open, "overloaded": overloaded}


class BackendUnderTest:
    """A backend over its twin, with a limiter that a test can make refuse."""

    def __init__(self, backend: Backend, limiter: After, url: str, draft: ModuleDraft) -> None:
        self.backend, self.limiter, self.url, self.draft = backend, limiter, url, draft

    def call(self) -> CallContext:
        return CallContext("r", SystemRuntime().monotonic() + 10.0)

    def create(self, name: str, parent: str | None = None) -> Module:
        return self.backend.create(replace(self.draft, name=name, parent=parent or self.draft.parent), self.call())

    def refuse_after(self, exchanges: int, then: Callable[[], float]) -> None:
        self.limiter.allowed = len(self.limiter.keys) + exchanges
        self.limiter.then = then

    def allow(self) -> None:
        self.limiter.allowed = UNLIMITED


@contextmanager
def run_cmdb() -> Iterator[BackendUnderTest]:
    limiter, clock = After(UNLIMITED, lambda: 0.0), SystemRuntime()
    with running(create_cmdb()) as url:
        options = cmdb_options(url, limits=LIMITS)
        backend = cmdb.create_backend("cmdb", options, clock, BackendServices(limiter=limiter))
        yield BackendUnderTest(
            RetryingBackend(backend, clock), limiter, url, ModuleDraft(scope="1", parent="10", name="", owners=())
        )


@contextmanager
def run_projectman() -> Iterator[BackendUnderTest]:
    limiter, clock = After(UNLIMITED, lambda: 0.0), SystemRuntime()
    with running(create_projectman()) as url:
        options = projectman_options(url, limits=LIMITS)
        backend = projectman.create_backend("pm", options, clock, BackendServices(limiter=limiter))
        owner = OWNER
        draft = ModuleDraft(scope=PROJECT, parent=None, name="", owners=(owner,))
        yield BackendUnderTest(RetryingBackend(backend, clock), limiter, url, draft)


BACKENDS: Final = {"cmdb": run_cmdb, "projectman": run_projectman}


@pytest.fixture(params=BACKENDS)
def testbed(request: pytest.FixtureRequest) -> Iterator[BackendUnderTest]:
    with BACKENDS[request.param]() as backend:
        yield backend


def changes_of(journal: Journal) -> ChangeService:
    return ChangeService(journal, SystemRuntime(), lambda: f"change-{next(_NUMBERS)}")


def update(testbed: BackendUnderTest, journal: Journal, module: Module) -> object:
    patch = ModulePatch(name=f"{module.name}-new", description="d" if testbed.draft.parent is None else None)
    if testbed.draft.parent is not None:
        patch = ModulePatch(name=patch.name)
    return changes_of(journal).update(testbed.backend, module.ref, patch, testbed.call())


def delete(testbed: BackendUnderTest, journal: Journal, module: Module) -> None:
    changes_of(journal).delete(testbed.backend, module.ref, cascade=True, call=testbed.call())


@pytest.mark.parametrize("operation", [update, delete])
@pytest.mark.parametrize("failure", ADMISSION_FAILURES)
def test_applied_change_is_never_reported_as_not_applied(
    testbed: BackendUnderTest,
    journal: Journal,
    operation: Callable[[BackendUnderTest, Journal, Module], object],
    failure: str,
) -> None:
    """Refused at the first, second, … exchange: either nothing was applied, or the outcome is unknown."""
    outcomes: list[Outcome | None] = []
    for exchanges in itertools.count():
        module = testbed.create(f"m{exchanges}")
        if testbed.draft.parent is None:
            for child in ("a", "b"):
                testbed.create(f"m{exchanges}{child}", module.native_id)
        before = effective_writes(testbed.url)
        testbed.refuse_after(exchanges, ADMISSION_FAILURES[failure])
        outcome = None
        try:
            operation(testbed, journal, module)
        except GatewayError as error:
            outcome = error.outcome
        testbed.allow()
        assert (effective_writes(testbed.url) > before) is (outcome is not Outcome.NOT_APPLIED)
        outcomes.append(outcome)
        if outcome is None:
            break
    assert outcomes[0] is Outcome.NOT_APPLIED
    assert len(outcomes) >= 3


@pytest.mark.parametrize("failure", ADMISSION_FAILURES)
def test_refused_create_is_settled(
    testbed: BackendUnderTest, journal: Journal, provisioner: Provisioner, clock: VirtualClock, failure: str
) -> None:
    """Nothing was sent: the operation is settled as refused without a lookup, and the name is free again."""
    create_request = CreateRequest(draft=replace(testbed.draft, name="refused"), caller="c", idempotency_key="k")
    call = CallContext("r", clock.monotonic() + 10.0)
    testbed.refuse_after(0, ADMISSION_FAILURES[failure])
    with pytest.raises(GatewayError) as refused:
        provisioner.create(testbed.backend, create_request, call)
    assert (refused.value.code, refused.value.outcome) == (failure, Outcome.NOT_APPLIED)
    operation = journal.get("op-1")
    assert operation is not None
    assert (operation.state, journal.next_due(), effective_writes(testbed.url)) == (State.REFUSED, None, 0)
    testbed.allow()
    result: Any = provisioner.create(testbed.backend, create_request, call)
    assert (result.replayed, effective_writes(testbed.url)) == (False, 1)
