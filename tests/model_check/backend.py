"""A backend in virtual time, with the twins' semantics and every way of losing an answer that the facts know.

It does *not* keep names unique when told so: then a second send of the same create would show as a second module,
where a real backend's unique index would hide the mistake.
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
    GatewayError,
    ModuleAlreadyExists,
    OutcomeUnknown,
)
from gateway.domain.module import Module, ModuleDraft, Owner
from tests.model_check.scheduler import Process, Scheduler, VirtualRuntime

#: What may become of a create; the late ones commit up to 120 s after the request (facts: CMDB's transactions).
FAULTS = (
    "none",
    "slow",  # answers, but after the caller has left
    "refused",
    "not_sent",
    "lost_before",  # the request is lost: never applied, and nobody knows
    "lost_after",  # applied, the reply is lost
    "late",  # the reply is lost, and the commit comes much later
    "hung",  # no reply until the hard timeout; applied or not
)
WINDOW = 130.0
HARD_TIMEOUT = 35.0


@dataclass(frozen=True)
class Made:
    """One module in the backend, and the operation whose send made it."""

    module: Module
    operation_id: str | None  # None: somebody else made it, past the gateway
    at: float


@dataclass
class World:
    """What is in the backend: the ground truth, shared by all replicas' connections."""

    scheduler: Scheduler
    chance: random.Random
    unique: bool
    first_id: int
    tells_time: bool
    made: list[Made] = field(default_factory=list)
    visited: Counter[str] = field(default_factory=Counter)
    sends: Counter[str] = field(default_factory=Counter)
    pending: int = 0  # commits still to come
    read_lag: float = 0.0
    unreadable_until: float = 0.0
    process: Process = field(default_factory=lambda: Process("backend"))

    def commit(self, draft: ModuleDraft, operation_id: str | None) -> Module | None:
        """Apply a create, at last; None where the name is taken and names are unique here."""
        self.pending -= operation_id is not None
        if self.unique and any(each.module.name == draft.name for each in self.made):
            return None
        number = str(self.first_id + len(self.made))
        instant = datetime.fromtimestamp(self.scheduler.now, UTC) if self.tells_time else None
        module = Module(
            backend="sim",
            ref=number,
            native_id=number,
            scope=draft.scope,
            parent=draft.parent,
            name=draft.name,
            description=draft.description,
            owners=tuple(Owner(owner) for owner in draft.owners or ()),
            created_at=instant,
        )
        self.made.append(Made(module, operation_id, self.scheduler.now))
        return module


class SimulatedBackend:
    """One replica's connection; implements what the machine asks of a Backend."""

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

    def __init__(self, world: World, runtime: VirtualRuntime) -> None:
        self._world = world
        self._runtime = runtime

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        return (draft.scope, draft.name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Send once; the request travels, is worked on and answered, or not."""
        world, chance = self._world, self._world.chance
        if call.deadline <= self._runtime.monotonic():
            raise BackendUnavailable("too late")
        fault = chance.choice(FAULTS)
        world.visited[f"fault:{fault}"] += 1
        if fault == "not_sent":
            self._runtime.sleep(chance.choice([0.0, 3.0]))
            raise BackendUnavailable("refused")
        world.sends[str(call.operation_id)] += 1
        self._runtime.sleep(chance.choice([0.001, 0.05, 1.0]))
        answer: list[Module | GatewayError | None] = []
        commits_in = {"slow": chance.uniform(5, 30), "late": chance.uniform(1, 119), "hung": chance.uniform(1, 119)}
        applies = fault not in {"refused", "lost_before"} and not (fault == "hung" and chance.random() < 0.5)
        if applies:
            # The commit is the backend's own doing: it happens whether or not the sender is still alive.
            when = world.scheduler.now + commits_in.get(fault, 0.0)
            world.pending += 1
            world.scheduler.at(when, lambda: answer.append(world.commit(draft, call.operation_id)))
        return self._reply(fault, answer, call)

    def _reply(self, fault: str, answer: list[Module | GatewayError | None], call: CallContext) -> Module:
        chance = self._world.chance
        if fault in {"lost_before", "lost_after", "late"}:
            self._runtime.sleep(chance.choice([0.01, 2.0, 12.0]))
            raise OutcomeUnknown
        if fault == "refused":
            self._runtime.sleep(0.01)
            raise BackendPermissionDenied
        if fault == "hung":
            self._runtime.sleep(max(call.deadline - self._runtime.monotonic(), 0.0))
            raise OutcomeUnknown
        while not answer:
            if self._runtime.monotonic() >= call.deadline:
                raise OutcomeUnknown
            self._runtime.sleep(0.25)
        if not isinstance(answer[0], Module):
            raise ModuleAlreadyExists
        return answer[0]

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Read what has been committed, a while ago where reads lag behind."""
        world = self._world
        self._runtime.sleep(world.chance.choice([0.0, 0.02, 0.5]))
        if world.scheduler.now < world.unreadable_until:
            world.visited["fault:unreadable"] += 1
            raise BackendTimeout
        if world.read_lag:
            world.visited["fault:read_lag"] += 1
        seen = world.scheduler.now - world.read_lag
        return tuple(made.module for made in world.made if made.module.name == draft.name and made.at <= seen)
