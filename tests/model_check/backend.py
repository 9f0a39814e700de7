"""A backend on virtual time, with the semantics of the twins and each known way to lose a response.

With `unique` off it accepts a name twice: a second send of one create then shows as a second module, which a real
backend's unique index would hide.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from gateway.domain.backend import CallContext, ConnectionState
from gateway.domain.capabilities import Capabilities, Change, FieldSpec
from gateway.domain.errors import (
    BackendPermissionDenied,
    BackendRejectedCredentials,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    ModuleAlreadyExists,
    ModuleNotFound,
    OutcomeUnknown,
)
from gateway.domain.lookup import LookupPage, LookupQuery
from gateway.domain.messages import verbatim
from gateway.domain.module import UNSET, Module, ModuleDraft, ModulePatch, ModuleQuery, Owner, Page
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
CHANGE_FAULTS = ("none", "none", "refused", "not_sent", "lost_before", "lost_after", "late")
#: How long after it was sent a change is applied at the latest.
LATEST_WRITE = 60.0
WINDOW = 130.0
HARD_TIMEOUT = 35.0
SKEW = 300.0
#: How long a process is frozen; most freezes end after lease and window.
FREEZES = (2.0, 60.0, 300.0)
#: The user that creates through the gateway, and the one that creates without it.
GATEWAY_USER, OTHER_USER = "gateway", "person"
REJECTED_CREDENTIAL = "junk"


@dataclass
class StoredModule:
    """One module in the backend, the operation whose send created it, and the times of its changes."""

    module: Module
    operation_id: str | None  # None: created without the gateway
    created_at: float
    deleted_at: float = float("inf")


@dataclass
class Write:
    """An update or delete that was sent: the module that its sender read before, and when it can be applied."""

    request_id: str
    ref: str
    sender: Process
    read: Module | None
    due_at: float  # -inf if it is never applied
    is_late: bool = False
    applied_at: float | None = None


@dataclass
class BackendState:
    """The content of the backend, which all replicas share: the truth that the invariants are checked against."""

    scheduler: Scheduler
    rng: random.Random
    unique: bool
    first_id: int
    returns_created_at: bool
    returns_creator: bool = False
    clock_offset: float = 0.0  # seconds by which the backend's clock is ahead
    passthrough: bool = False
    modules: list[StoredModule] = field(default_factory=list)
    visited: Counter[str] = field(default_factory=Counter)
    sends: Counter[str] = field(default_factory=Counter)
    pending: int = 0  # commits that are still due
    uncommitted: Counter[str] = field(default_factory=Counter)  # creates that were received, by name
    read_lag: float = 0.0
    unreadable_until: float = 0.0
    process: Process = field(default_factory=lambda: Process("backend"))
    freezes: bool = False  # whether replicas are frozen now and then
    window: float = WINDOW
    hard_timeout: float = HARD_TIMEOUT
    replaces_whole: bool = False  # an update reads, merges and replaces the whole module, as in ProjectMan
    writes: list[Write] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def freeze(self, process: Process) -> None:
        """Stop a replica as SIGSTOP does, and continue it later."""
        process.frozen_until = self.scheduler.now + self.rng.choice(FREEZES)
        self.visited["frozen"] += 1

    @property
    def existing(self) -> list[StoredModule]:
        """The modules that are not deleted."""
        return [stored for stored in self.modules if stored.deleted_at > self.scheduler.now]

    def send(self, write: Write, apply: Callable[[], None]) -> None:
        """Receive an update or delete, which is applied when it is due, whatever became of its sender."""
        other = next((w for w in self.writes if w.ref == write.ref and w.due_at > self.scheduler.now), None)
        if other is not None:
            self.violations.append(f"{write} was sent while {other} could still be applied")
        self.writes.append(write)

        def commit() -> None:
            stored = next((stored for stored in self.existing if stored.module.ref == write.ref), None)
            if stored is None:
                return
            if write.read is not None and _state_of(write.read) != _state_of(stored.module):
                self.violations.append(f"{write} replaces {stored.module}")
            apply()
            write.applied_at = self.scheduler.now

        if write.due_at > self.scheduler.now:
            self.scheduler.at(write.due_at, commit)

    def receive(
        self, draft: ModuleDraft, operation_id: str | None, commits_at: float, committed: list[Module | None]
    ) -> None:
        """Refuse a create whose name is taken, or commit it later."""
        if self._is_taken(draft.name):
            self.pending -= 1
            committed.append(None)
            return
        self.uncommitted[draft.name] += 1

        def commit() -> None:
            self.uncommitted[draft.name] -= 1
            committed.append(self.commit(draft, operation_id))

        self.scheduler.at(commits_at, commit)

    def _is_taken(self, name: str) -> bool:
        """Return whether a unique index has an entry for the name, also one of a transaction that is still open."""
        is_existing = any(stored.module.name == name for stored in self.existing)
        return self.unique and (is_existing or self.uncommitted[name] > 0)

    def commit(
        self, draft: ModuleDraft, operation_id: str | None, *, age: float = 0.0, user: str = GATEWAY_USER
    ) -> Module | None:
        """Apply a create; return None if the name is taken and names are unique. `age` is for modules of the past."""
        self.pending -= operation_id is not None
        if self._is_taken(draft.name):
            return None
        self.visited["normalized"] += operation_id is not None and "category" not in draft.attributes
        native_id, created_at = str(self.first_id + len(self.modules)), self.scheduler.now - age
        shown_at = datetime.fromtimestamp(created_at + self.clock_offset, UTC)
        module = Module(
            backend="sim",
            ref=native_id,
            native_id=native_id,
            scope=draft.scope,
            parent=draft.parent,
            name=draft.name,
            description=draft.description,
            owners=tuple(Owner(owner) for owner in draft.owners or ()),
            attributes={**draft.attributes, "category": draft.attributes.get("category") or 7},
            created_at=shown_at if self.returns_created_at else None,
            created_by=user if self.returns_creator else None,
        )
        self.modules.append(StoredModule(module, operation_id, created_at))
        return module


def _state_of(module: Module) -> tuple[object, ...]:
    """Return what a read shows in every history."""
    return (module.name, module.owners, module.attributes)


def _normalize(change: Change) -> Change:
    """Return a change as the backend stores it: the category 0 stands for the default one, as in CMDB."""
    return replace(change, attributes={name: value for name, value in change.attributes.items() if value != 0})


class SimulatedBackend:
    """One replica's connection; implements Backend."""

    name = "sim"
    state: ConnectionState = "reachable"

    def __init__(self, state: BackendState, runtime: VirtualRuntime) -> None:
        self._shared = state
        self._runtime = runtime
        self.capabilities = Capabilities(
            type="sim",
            title="Simulated",
            scope=FieldSpec(name="scope"),
            parent=FieldSpec(name="parent"),
            name=FieldSpec(name="name"),
            description=FieldSpec(name="description", readable=not state.replaces_whole),
            owners=FieldSpec(name="owners", kind="owners"),
            settle_seconds=state.window,
            hard_timeout_seconds=state.hard_timeout,
            clock_skew_seconds=SKEW,
            acting_user=GATEWAY_USER if state.returns_creator else None,
            credential_header="X-Token" if state.passthrough else None,
            normalize=_normalize,
            reads_before=frozenset({"update"} if state.replaces_whole else ()),
        )

    def scope_of(self, ref: str) -> str:
        return "s"

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        return (draft.scope, draft.name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Receive one create: the request is delayed, applied and answered, or not, as the fault says."""
        shared, rng = self._shared, self._shared.rng
        fault = rng.choice(FAULTS)
        if shared.freezes and rng.random() < 0.1:  # between the claim and the transport's last look at the clock
            shared.freeze(self._runtime.process)
            self._runtime.sleep(0.0)
        if call.deadline <= self._runtime.monotonic():  # the transport reads the clock last
            shared.visited["too_late_to_send"] += 1
            raise BackendUnavailable(verbatim("too late"))
        shared.visited[f"fault:{fault}"] += 1
        if fault == "not_sent":
            self._runtime.sleep(rng.choice([0.0, 3.0]))
            raise BackendUnavailable(verbatim("refused"))
        shared.sends[str(call.operation_id)] += 1
        latency = rng.choice([0.001, 0.05, 1.0])
        committed: list[Module | None] = []
        commit_delays = {"slow": rng.uniform(5, 30), "late": rng.uniform(1, 119), "hung": rng.uniform(1, 119)}
        is_refused = fault in {"refused", "lost_before"} or self._is_rejected(call)
        if not is_refused and not (fault == "hung" and rng.random() < 0.5):
            # The backend commits whether or not the sender is still alive. A name that is taken when the request
            # arrives ends the transaction at once, however late it would have committed.
            shared.pending += 1
            arrives_at = shared.scheduler.now + latency
            commits_at = arrives_at + commit_delays.get(fault, 0.0)
            shared.scheduler.at(arrives_at, lambda: shared.receive(draft, call.operation_id, commits_at, committed))
        self._runtime.sleep(latency)
        return self._respond(fault, committed, call)

    def _respond(self, fault: str, committed: list[Module | None], call: CallContext) -> Module:
        rng = self._shared.rng
        if fault in {"lost_before", "lost_after", "late"}:
            self._runtime.sleep(rng.choice([0.01, 2.0, 12.0]))
            raise OutcomeUnknown
        if self._is_rejected(call):
            raise BackendRejectedCredentials
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
        return tuple(module for module in self._read(call) if module.name == draft.name)

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        pass

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        return Page(tuple(self._read(call)), None)

    def get(self, ref: str, call: CallContext) -> Module:
        for module in self._read(call):
            if module.ref == ref:
                return module
        raise ModuleNotFound

    def lookup(self, query: LookupQuery, page_size: int, cursor: str | None, call: CallContext) -> LookupPage:
        return LookupPage((), None)

    def update(
        self, ref: str, patch: ModulePatch, call: CallContext, check: Callable[[Module], None] | None = None
    ) -> Module:
        stored, read = self._find(ref), None
        if check is not None:
            check(read := self.get(ref, call))
        values: dict[str, Any] = {
            name: value for name in ("name", "description", "owners") if (value := getattr(patch, name)) is not UNSET
        }
        if "owners" in values:
            values["owners"] = tuple(map(Owner, values["owners"]))
        if self._shared.replaces_whole and read is not None:
            values = {"name": read.name, "owners": read.owners, **values}
        updated: list[Module] = []

        def apply() -> None:
            stored.module = replace(
                stored.module, **values, attributes={**stored.module.attributes, **patch.attributes}
            )
            updated.append(stored.module)

        self._change(ref, call, read, apply)
        return self._shown(updated[0])

    def descendants(self, ref: str, call: CallContext) -> Sequence[str]:
        return ()

    def delete(self, ref: str, call: CallContext, check: Callable[[Module], None] | None = None) -> None:
        stored = self._find(ref)
        if check is not None:
            check(self.get(ref, call))
        self._change(ref, call, None, lambda: setattr(stored, "deleted_at", self._shared.scheduler.now))

    def _change(self, ref: str, call: CallContext, read: Module | None, apply: Callable[[], None]) -> None:
        """Send an update or delete, and return if the response says that it was applied."""
        shared, rng = self._shared, self._shared.rng
        fault, latency = rng.choice(CHANGE_FAULTS), rng.choice([0.001, 0.05, 1.0, 4.0])
        if shared.freezes and rng.random() < 0.1:  # before the transport's last look at the clock
            shared.freeze(self._runtime.process)
            self._runtime.sleep(0.0)
        if call.deadline <= self._runtime.monotonic():
            shared.visited["change_too_late_to_send"] += 1
            raise BackendUnavailable(verbatim("too late"))
        shared.visited[f"change:{fault}"] += 1
        if self._is_rejected(call):
            raise BackendRejectedCredentials
        if fault == "not_sent":
            raise BackendUnavailable(verbatim("refused"))
        delay = shared.rng.uniform(0.0, LATEST_WRITE - latency) if fault == "late" else 0.0
        due_at = float("-inf") if fault in {"refused", "lost_before"} else shared.scheduler.now + latency + delay
        write = Write(call.request_id, ref, self._runtime.process, read, due_at, is_late=delay > 5.0)
        shared.send(write, apply)
        self._runtime.sleep(min(latency + 0.001, max(call.deadline - self._runtime.monotonic(), 0.0)))
        if fault == "refused":
            raise BackendPermissionDenied
        if write.applied_at is None and not delay and shared.scheduler.now > due_at > 0.0:
            raise ModuleNotFound  # it was deleted in the meantime
        if write.applied_at is None or fault != "none":
            raise OutcomeUnknown

    def _find(self, ref: str) -> StoredModule:
        for stored in self._shared.existing:
            if stored.module.ref == ref:
                return stored
        raise ModuleNotFound

    def _is_rejected(self, call: CallContext) -> bool:
        return self._shared.passthrough and call.credential in {None, REJECTED_CREDENTIAL}

    def _read(self, call: CallContext) -> Sequence[Module]:
        """Return what was committed before the read lag."""
        shared = self._shared
        self._runtime.sleep(shared.rng.choice([0.0, 0.02, 0.5]))
        error: GatewayError | None = None
        if self._is_rejected(call):
            shared.visited["fault:read_rejected"] += 1
            error = BackendRejectedCredentials()
        elif shared.scheduler.now < shared.unreadable_until:
            shared.visited["fault:unreadable"] += 1
            error = BackendTimeout()
        if error is not None:
            raise error
        if shared.read_lag:
            shared.visited["fault:read_lag"] += 1
        visible_until = shared.scheduler.now - shared.read_lag
        return [self._shown(stored.module) for stored in shared.existing if stored.created_at <= visible_until]

    def _shown(self, module: Module) -> Module:
        """Return a module as responses show it."""
        return (
            replace(module, description=None, unavailable=("description",)) if self._shared.replaces_whole else module
        )
