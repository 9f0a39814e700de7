"""A backend on virtual time, with the semantics of the twins and each known way to lose a response.

With `unique` off it accepts a name twice: a second send of one create then shows as a second module, which a real
backend's unique index would hide.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.domain.backend import CallContext
from gateway.domain.capabilities import Capabilities, FieldSpec
from gateway.domain.errors import (
    BackendPermissionDenied,
    BackendTimeout,
    BackendUnavailable,
    ModuleAlreadyExists,
    OutcomeUnknown,
)
from gateway.domain.messages import verbatim
from gateway.domain.module import Module, ModuleDraft, Owner
from tests.model_check.scheduler import Process, Scheduler, VirtualRuntime

#: The faults of a create; a late commit comes up to 120 s after the request (CMDB's transactions).
FAULTS = (
    "none",
    "slow",  # responds after the caller's deadline
    "refused",
    "not_sent",
    "lost_before",  # the request is lost and never applied; the outcome is unknown
    "lost_after",  # applied, the response is lost
    "late",  # the response is lost, and the commit comes much later
    "hung",  # no response until the hard timeout; applied or not
)
WINDOW = 130.0
HARD_TIMEOUT = 35.0


@dataclass(frozen=True)
class StoredModule:
    """One module in the backend, and the operation whose send created it."""

    module: Module
    operation_id: str | None  # None: created without the gateway
    created_at: float


@dataclass
class BackendState:
    """The content of the backend, which all replicas share: the truth that the invariants are checked against."""

    scheduler: Scheduler
    rng: random.Random
    unique: bool
    first_id: int
    returns_created_at: bool
    modules: list[StoredModule] = field(default_factory=list)
    visited: Counter[str] = field(default_factory=Counter)
    sends: Counter[str] = field(default_factory=Counter)
    pending: int = 0  # commits that are still due
    read_lag: float = 0.0
    unreadable_until: float = 0.0
    process: Process = field(default_factory=lambda: Process("backend"))

    def commit(self, draft: ModuleDraft, operation_id: str | None) -> Module | None:
        """Apply a create; return None if the name is taken and names are unique."""
        self.pending -= operation_id is not None
        if self.unique and any(stored.module.name == draft.name for stored in self.modules):
            return None
        native_id = str(self.first_id + len(self.modules))
        created_at = datetime.fromtimestamp(self.scheduler.now, UTC) if self.returns_created_at else None
        module = Module(
            backend="sim",
            ref=native_id,
            native_id=native_id,
            scope=draft.scope,
            parent=draft.parent,
            name=draft.name,
            description=draft.description,
            owners=tuple(Owner(owner) for owner in draft.owners or ()),
            created_at=created_at,
        )
        self.modules.append(StoredModule(module, operation_id, self.scheduler.now))
        return module


class SimulatedBackend:
    """One replica's connection; implements the methods of Backend that provisioning calls."""

    name = "sim"
    state = "reachable"
    capabilities = Capabilities(
        type="sim",
        title="Simulated",
        scope=FieldSpec(name="scope"),
        parent=FieldSpec(name="parent"),
        name=FieldSpec(name="name"),
        description=FieldSpec(name="description"),
        owners=FieldSpec(name="owners", kind="owners"),
        settle_seconds=WINDOW,
        hard_timeout_seconds=HARD_TIMEOUT,
    )

    def __init__(self, state: BackendState, runtime: VirtualRuntime) -> None:
        self._shared = state
        self._runtime = runtime

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        return (draft.scope, draft.name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Receive one create: the request is delayed, applied and answered, or not, as the fault says."""
        shared, rng = self._shared, self._shared.rng
        if call.deadline <= self._runtime.monotonic():
            raise BackendUnavailable(verbatim("too late"))
        fault = rng.choice(FAULTS)
        shared.visited[f"fault:{fault}"] += 1
        if fault == "not_sent":
            self._runtime.sleep(rng.choice([0.0, 3.0]))
            raise BackendUnavailable(verbatim("refused"))
        shared.sends[str(call.operation_id)] += 1
        self._runtime.sleep(rng.choice([0.001, 0.05, 1.0]))
        committed: list[Module | None] = []
        commit_delays = {"slow": rng.uniform(5, 30), "late": rng.uniform(1, 119), "hung": rng.uniform(1, 119)}
        is_applied = fault not in {"refused", "lost_before"} and not (fault == "hung" and rng.random() < 0.5)
        if is_applied:
            # The backend commits whether or not the sender is still alive.
            commit_at = shared.scheduler.now + commit_delays.get(fault, 0.0)
            shared.pending += 1
            shared.scheduler.at(commit_at, lambda: committed.append(shared.commit(draft, call.operation_id)))
        return self._respond(fault, committed, call)

    def _respond(self, fault: str, committed: list[Module | None], call: CallContext) -> Module:
        rng = self._shared.rng
        if fault in {"lost_before", "lost_after", "late"}:
            self._runtime.sleep(rng.choice([0.01, 2.0, 12.0]))
            raise OutcomeUnknown
        if fault == "refused":
            self._runtime.sleep(0.01)
            raise BackendPermissionDenied
        if fault == "hung":
            self._runtime.sleep(max(call.deadline - self._runtime.monotonic(), 0.0))
            raise OutcomeUnknown
        while not committed:
            if self._runtime.monotonic() >= call.deadline:
                raise OutcomeUnknown
            self._runtime.sleep(0.25)
        if not isinstance(committed[0], Module):
            raise ModuleAlreadyExists
        return committed[0]

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Return what was committed before the read lag."""
        shared = self._shared
        self._runtime.sleep(shared.rng.choice([0.0, 0.02, 0.5]))
        if shared.scheduler.now < shared.unreadable_until:
            shared.visited["fault:unreadable"] += 1
            raise BackendTimeout
        if shared.read_lag:
            shared.visited["fault:read_lag"] += 1
        visible_until = shared.scheduler.now - shared.read_lag
        return tuple(
            stored.module
            for stored in shared.modules
            if stored.module.name == draft.name and stored.created_at <= visible_until
        )
