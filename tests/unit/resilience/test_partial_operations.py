"""Operations of several exchanges, refused at each in turn: an applied change is never reported as not applied.

An update in CMDB is a write and a read, a deletion in ProjectMan a read and a write for each module below.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import pytest

from gateway.app import SystemClock
from gateway.backends import cmdb, projectman
from gateway.domain.backend import Backend, BackendServices, CallContext
from gateway.domain.errors import CircuitOpen, GatewayError, Outcome, Overloaded
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft, ModulePatch
from gateway.domain.operation import State
from gateway.provisioning import update_delete
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import Provisioner
from gateway.resilience import RetryingBackend
from gateway.transport import TransportSettings
from gateway.twins.cmdb import create_twin as create_cmdb
from gateway.twins.projectman import create_twin as create_projectman
from gateway.twins.server import running
from tests.conftest import VirtualClock
from tests.contract.fixtures import cmdb as cmdb_stand
from tests.contract.fixtures import projectman as projectman_stand
from tests.contract.fixtures.ledger import effective_writes
from tests.unit.transport.doubles import After

pytestmark = pytest.mark.loopback
LIMITS: Final = TransportSettings(requests_per_second=1.0)
MANY: Final = 10_000


def circuit_open() -> float:
    raise CircuitOpen


def overloaded() -> float:
    raise Overloaded


#: How an exchange may be held back: above the rate, or as the two others that leave the gate the same way.
HELD_BACK: Final = {"rate_limited": lambda: 60.0, "circuit_open": circuit_open, "overloaded": overloaded}


class Bench:
    """A backend over its twin, behind a gate that a test closes."""

    def __init__(self, backend: Backend, limiter: After, url: str, draft: ModuleDraft) -> None:
        self.backend, self.limiter, self.url, self.draft = backend, limiter, url, draft

    def call(self) -> CallContext:
        return CallContext("r", SystemClock().monotonic() + 10.0)

    def make(self, name: str, parent: str | None = None) -> Module:
        return self.backend.create(replace(self.draft, name=name, parent=parent or self.draft.parent), self.call())

    def close_after(self, exchanges: int, then: Callable[[], float]) -> None:
        self.limiter.allowed = len(self.limiter.keys) + exchanges
        self.limiter.then = then

    def open(self) -> None:
        self.limiter.allowed = MANY


@contextmanager
def cmdb_bench() -> Iterator[Bench]:
    limiter, clock = After(MANY, lambda: 0.0), SystemClock()
    with running(create_cmdb()) as url:
        options = replace(cmdb_stand.options(url), limits=LIMITS)
        backend = cmdb.create_backend("cmdb", options, clock, BackendServices(limiter=limiter))
        yield Bench(
            RetryingBackend(backend, clock), limiter, url, ModuleDraft(scope="1", parent="10", name="", owners=())
        )


@contextmanager
def projectman_bench() -> Iterator[Bench]:
    limiter, clock = After(MANY, lambda: 0.0), SystemClock()
    with running(create_projectman()) as url:
        options = projectman_stand.options(url, limits=LIMITS)
        backend = projectman.create_backend("pm", options, clock, BackendServices(limiter=limiter))
        owner = projectman_stand.OWNER
        draft = ModuleDraft(scope=projectman_stand.PROJECT, parent=None, name="", owners=(owner,))
        yield Bench(RetryingBackend(backend, clock), limiter, url, draft)


BENCHES: Final = {"cmdb": cmdb_bench, "projectman": projectman_bench}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with BENCHES[request.param]() as opened:
        yield opened


def update(bench: Bench, journal: Journal, module: Module) -> object:
    patch = ModulePatch(name=f"{module.name}-new", description="d" if bench.draft.parent is None else None)
    if bench.draft.parent is not None:
        patch = ModulePatch(name=patch.name)
    return update_delete.update(journal, bench.backend, module.ref, patch, bench.call())


def delete(bench: Bench, journal: Journal, module: Module) -> None:
    update_delete.delete(journal, bench.backend, module.ref, cascade=True, call=bench.call())


@pytest.mark.parametrize("operation", [update, delete])
@pytest.mark.parametrize("held_back", HELD_BACK)
def test_what_took_effect_is_never_told_as_not_applied(
    bench: Bench, journal: Journal, operation: Callable[[Bench, Journal, Module], object], held_back: str
) -> None:
    """Held back at the first, the second … exchange: either nothing took effect, or the answer says *unknown*."""
    outcomes: list[Outcome | None] = []
    for exchanges in itertools.count():
        module = bench.make(f"m{exchanges}")
        if bench.draft.parent is None:
            for child in ("a", "b"):
                bench.make(f"m{exchanges}{child}", module.native_id)
        before = effective_writes(bench.url)
        bench.close_after(exchanges, HELD_BACK[held_back])
        outcome = None
        try:
            operation(bench, journal, module)
        except GatewayError as error:
            outcome = error.outcome
        bench.open()
        assert (effective_writes(bench.url) > before) is (outcome is not Outcome.NOT_APPLIED)
        outcomes.append(outcome)
        if outcome is None:
            break
    assert outcomes[0] is Outcome.NOT_APPLIED
    assert len(outcomes) >= 3


@pytest.mark.parametrize("held_back", HELD_BACK)
def test_a_create_that_is_held_back_is_refused_and_over(
    bench: Bench, journal: Journal, clock: VirtualClock, held_back: str
) -> None:
    """Nothing was sent, so there is nothing to look for: the operation ends at once, and the name is free again."""
    ids = itertools.count(1)
    provisioner = Provisioner(
        journal=journal,
        runtime=clock,
        new_id=lambda: f"op-{next(ids)}",
        worker_id="me",
        known_modules=KnownModules(journal, clock),
    )
    order = CreateRequest(draft=replace(bench.draft, name="held"), caller="c", idempotency_key="k")
    call = CallContext("r", clock.monotonic() + 10.0)
    bench.close_after(0, HELD_BACK[held_back])
    with pytest.raises(GatewayError) as refused:
        provisioner.create(bench.backend, order, call)
    assert (refused.value.code, refused.value.outcome) == (held_back, Outcome.NOT_APPLIED)
    operation = journal.get("op-1")
    assert operation is not None
    assert (operation.state, journal.next_due(), effective_writes(bench.url)) == (State.REFUSED, None, 0)
    bench.open()
    answer: Any = provisioner.create(bench.backend, order, call)
    assert (answer.replayed, effective_writes(bench.url)) == (False, 1)
