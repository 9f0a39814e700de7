"""One history: callers, retries, lost responses, crashes and late commits on two replicas, drawn from one seed."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from greenlet import getcurrent, greenlet

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError, Internal, JournalUnavailable, Outcome
from gateway.domain.journal import Journal
from gateway.domain.module import ModuleDraft, ModulePatch, ModuleQuery
from gateway.domain.operation import Claim, ClaimResult, Settlement, State
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.known_modules import BackendClocks, KnownModules
from gateway.provisioning.provisioner import CreateResult, Provisioner
from gateway.provisioning.reconciler import Reconciler
from gateway.provisioning.update_delete import ChangeService
from gateway.resilience import RetryingBackend
from tests.model_check.backend import OTHER_USER, REJECTED_CREDENTIAL, SKEW, BackendState, SimulatedBackend
from tests.model_check.scheduler import EPOCH, Process, Scheduler, VirtualRuntime

#: The time in which every operation is settled: leases, windows, freezes, and lookups that a clock delays; seconds.
SETTLED_AFTER_SECONDS: Final = 3600.0
_ACTIVE_SECONDS: Final = 60.0
#: How far the clock of a replica or of the backend is off; two of them differ by less than SKEW.
_CLOCK_OFFSETS: Final = (0.0, 0.0, 0.5, -0.5, 90.0, -90.0, 140.0, -140.0)
#: Steps of a wall clock; the long ones are only taken where no creation time is compared with it.
_CLOCK_STEPS: Final = (140.0, -140.0)
_LONG_CLOCK_STEPS: Final = (3600.0, -3600.0)
#: What background tasks call again and again.
_POLLS: Final = {"lease_due", "held_changes", "publish_changes", "list_changes"}
#: The share of journal calls at which a replica is frozen.
_FREEZE_RATE: Final = 0.02


@dataclass
class Attempt:
    """One HTTP request and its result; it has none if the replica died or the caller left."""

    key: str | None
    request_id: str
    body: str
    caller: str
    credential: str | None
    started_at: float
    operation_id: str | None = None  # of the claim, if the request made one
    result: CreateResult | None = None
    error: GatewayError | None = None
    finished_at: float = 0.0

    @property
    def identity(self) -> tuple[str | None, ...]:
        """The identity of the create that a request belongs to: the requester, and its key or else its request id."""
        name = ("key", self.key) if self.key is not None else ("memory", self.request_id)
        return (self.caller, self.credential, *name)


@dataclass
class SimulatedJournal:
    """One replica's connection to the journal: delays calls, and fails before or after the commit."""

    journal: Journal
    runtime: VirtualRuntime
    history: History

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.journal, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._delay(name)
            self._fail("before")
            result = method(*args, **kwargs)
            if hook := getattr(self.history, f"record_{name}", None):
                hook(result, *args)
            self._delay(name)
            self._fail("after")
            return result

        return call

    def _delay(self, name: str) -> None:
        """Sometimes let other greenlets run, or a crash happen, or freeze the process between two steps."""
        state = self.history.backend_state
        if name == "list_changes" and self.history.rng.random() < 0.05:
            self.runtime.sleep(self.history.rng.uniform(0.0, 3.0))
        if state.freezes and name not in _POLLS and self.history.rng.random() < _FREEZE_RATE:
            state.freeze(self.runtime.process)
        elif self.history.rng.random() >= 0.4:
            return
        self.runtime.sleep(0.0005)

    def _fail(self, position: str) -> None:
        is_lost = position == "after" and self.history.rng.random() < self.history.journal_loss_rate
        if is_lost or self.runtime.scheduler.now < self.history.journal_down_until:
            self.history.backend_state.visited[f"journal_down_{position}"] += 1
            raise JournalUnavailable


@dataclass
class Replica:
    """One process of the gateway."""

    process: Process
    runtime: VirtualRuntime
    provisioner: Provisioner
    reconciler: Reconciler
    changes: ChangeService

    @property
    def backend(self) -> Backend:
        """The replica's connection."""
        return self.reconciler.backends["sim"]


@dataclass
class Deletion:
    """A delete that the gateway confirmed."""

    module_id: str
    started_at: float
    finished_at: float


@dataclass
class History:
    """All that happens in one simulation, and all responses."""

    seed: int
    journal: Journal
    scheduler: Scheduler = field(default_factory=Scheduler)
    attempts: list[Attempt] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    #: How many changes may have touched a module, by its id: all but the refused ones.
    changes: Counter[str] = field(default_factory=Counter)
    last_attempts: list[Attempt] = field(default_factory=list)
    journal_down_until: float = 0.0
    request_ids_expire_early: bool = False  # the ten minutes of request deduplication are wall-clock time

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - repeatable by its seed
        rng = self.rng
        unique = rng.random() < 0.7
        returns_created_at = rng.random() < 0.5
        self.backend_state = BackendState(
            self.scheduler,
            rng,
            unique=unique,
            returns_created_at=returns_created_at,
            returns_creator=rng.random() < 0.3,
            clock_offset=rng.choice(_CLOCK_OFFSETS),
            passthrough=rng.random() < 0.25,
            freezes=rng.random() < 0.3,
            first_id=100 * (self.seed + 1),
        )
        self.backend_state.visited["clocks_differ"] += self.backend_state.clock_offset != 0.0
        self.clock_steps = _CLOCK_STEPS if returns_created_at else _CLOCK_STEPS + _LONG_CLOCK_STEPS
        #: The share of journal calls whose response is lost after the commit.
        self.journal_loss_rate = self.rng.choice([0.0, 0.0, 0.0, 0.03])
        self.clients = Process("clients")
        self.handlers: dict[greenlet, Attempt] = {}
        self.operations: set[str] = set()
        self._ids = itertools.count(1)

    def run(self) -> None:
        """Run all clients and faults, then run on until every operation is settled."""
        self.replicas = [self._start(f"replica-{number}") for number in (1, 2)]
        if self.rng.random() < 0.3:
            self._create_directly(age=self.rng.choice([3.0, 40.0, SKEW + 300.0]))
        for number in range(self.rng.randint(1, 4)):
            self._add_client(number)
        for action in (
            self._crash,
            self._break_journal,
            self._break_reads,
            self._create_directly,
            self._drain,
            self._step_clock,
            self._read,
            self._read,
            self._change,
            self._change,
        ):
            if self.rng.random() < 0.4:
                self.scheduler.at(EPOCH + self.rng.uniform(0.0, _ACTIVE_SECONDS), action)
        self.backend_state.read_lag = self.rng.choice([0.0, 0.0, 0.0, 4.0])
        end = EPOCH + 2 * _ACTIVE_SECONDS + SETTLED_AFTER_SECONDS
        while self.scheduler.now < end and not self._is_finished():
            self.scheduler.run(self.scheduler.now + 20.0)
        if self.backend_state.passthrough:
            self._create_after_all_windows()
        for replica in self.replicas:
            replica.process.alive = False

    def _create_after_all_windows(self) -> None:
        """Create each name with a valid credential: none may be held by a caller that never came back."""
        for replica in self.replicas:
            replica.process.alive = False
        self.replicas, self.journal_loss_rate = [self._start("last-replica")], 0.0
        self.backend_state.freezes = False
        self.last_attempts = [
            Attempt(None, f"{self.seed}-last-{name}", f"{name}c", "last-caller", "token", self.scheduler.now)
            for name in ("x", "y")
        ]

        def run() -> None:
            for attempt in self.last_attempts:
                self._request(attempt, attempt.body[0], 60.0)

        self.scheduler.spawn(self.clients, run)
        self.scheduler.run(self.scheduler.now + 600.0)

    def settle_rest(self) -> None:
        """End what no caller came back for, so that the next history's reconcilers do not find it."""
        for operation_id in self.operations:
            self.journal.settle(operation_id, Settlement(state=State.NOT_APPLIED, at=self.scheduler.now))

    def _is_finished(self) -> bool:
        """Return whether no client runs, no operation is active and no commit is due.

        With the caller's own credential only, an operation stays active until its caller or another one returns.
        """
        has_clients = any(not worker.dead for worker in self.clients.greenlets)
        faults_over = self.scheduler.now >= EPOCH + _ACTIVE_SECONDS
        is_settled = self.journal.next_due() is None
        if self.backend_state.passthrough:
            is_settled = self.scheduler.now >= EPOCH + _ACTIVE_SECONDS + 1200.0
        return faults_over and not has_clients and not self.backend_state.pending and is_settled

    def record_claim(self, result: ClaimResult, claim: Claim, _seconds: float) -> None:
        """Record which request made which claim."""
        self.backend_state.visited[f"match:{result.match}"] += 1
        if result.match == "claimed":
            self.operations.add(claim.id)
            self.handlers[getcurrent()].operation_id = claim.id

    def _start(self, name: str) -> Replica:
        process = Process(name, wall_offset=self.rng.choice(_CLOCK_OFFSETS), monotonic_start=self.rng.uniform(0.0, 1e6))
        runtime = VirtualRuntime(self.scheduler, process)
        journal: Any = SimulatedJournal(self.journal, runtime, self)
        known_modules = KnownModules(journal, runtime)
        backend = RetryingBackend(
            SimulatedBackend(self.backend_state, runtime),
            runtime,
            record_seen=known_modules.record,
            random=self.rng.random,
        )
        reconciler = Reconciler(
            journal=journal, runtime=runtime, backends={"sim": backend}, worker_id=name, poll_interval=10.0
        )
        provisioner = Provisioner(
            journal=journal,
            runtime=runtime,
            new_id=self._new_id,
            worker_id=name,
            known_modules=known_modules,
            backend_clocks=BackendClocks(runtime),
            reconcile_now=reconciler.reconcile_now,
        )
        runtime.spawn(reconciler.run)
        changes = ChangeService(journal, runtime, self._new_id, reconciler.settle_before_change)
        return Replica(process, runtime, provisioner, reconciler, changes)

    def _new_id(self) -> str:
        return f"{self.seed}-{next(self._ids)}"

    def _add_client(self, number: int) -> None:
        """Add a client that requests one module up to four times."""
        rng = self.rng
        key = rng.choice([None, None, f"key-{number}", "key-shared"])
        request_id = rng.choice([f"request-{number}", "request-shared"])
        body = rng.choice(["a", "a", "b"])
        name = rng.choice(["x", "x", "y"])
        timeouts = [rng.choice([0.3, 3.0, 10.0]) for _ in range(4)]
        repeats_success = rng.random() < 0.3
        caller = rng.choice(["caller", "caller", "another"])
        credentials = ["token", "token", "other-token", REJECTED_CREDENTIAL]
        credential = rng.choice(credentials if self.backend_state.passthrough else [None])
        start = EPOCH + rng.choice([0.0, rng.uniform(0.0, _ACTIVE_SECONDS)])

        def run() -> None:
            for timeout in timeouts:
                unique_key = key and f"{self.seed}-{key}"
                attempt = Attempt(
                    unique_key, f"{self.seed}-{request_id}", f"{name}{body}", caller, credential, self.scheduler.now
                )
                self._request(attempt, name, timeout)
                error = attempt.error
                if (attempt.result is not None and not repeats_success) or (error is not None and not error.retryable):
                    return
                self.scheduler.pause(self.clients, rng.choice([0.0, 1.0, 20.0]))

        self.scheduler.at(start, lambda: self.scheduler.spawn(self.clients, run))

    def _request(self, attempt: Attempt, name: str, timeout: float) -> None:
        replica = self.rng.choice(self.replicas)
        done = VirtualRuntime(self.scheduler, self.clients).event()
        # The backend stores 7 for the category 0.
        draft = ModuleDraft(
            scope="s", parent=None, name=name, description=attempt.body, owners=("o",), attributes={"category": 0}
        )
        request = CreateRequest(draft=draft, caller=attempt.caller, idempotency_key=attempt.key)

        def handle() -> None:
            self.handlers[getcurrent()] = attempt
            call = self._call(replica, attempt.request_id, timeout, attempt.credential)
            try:
                attempt.result = replica.provisioner.create(replica.backend, request, call)
            except GatewayError as error:
                attempt.error = error
            except Exception:  # the api responds with 500
                attempt.error = Internal()
                raise
            attempt.finished_at = self.scheduler.now
            done.set()

        self.attempts.append(attempt)
        replica.runtime.spawn(handle)
        if not done.wait(timeout + 1.0):
            self.backend_state.visited["no_answer"] += 1
        elif attempt.error is not None:
            self.backend_state.visited[f"code:{attempt.error.code}"] += 1
            assert attempt.error.outcome is not Outcome.APPLIED
        elif attempt.result is not None and attempt.result.replayed:
            self.backend_state.visited["replayed"] += 1

    def _crash(self, index: int | None = None) -> None:
        index = self.rng.randrange(len(self.replicas)) if index is None else index
        self.replicas[index].process.alive = False
        self.backend_state.visited["crash"] += 1
        restart_at = self.scheduler.now + self.rng.uniform(0.0, 50.0)
        self.scheduler.at(restart_at, lambda: self._restart(index))

    def _restart(self, index: int) -> None:
        self.replicas[index] = self._start(f"replica-{index}-restarted")

    def _break_journal(self) -> None:
        self.journal_down_until = self.scheduler.now + self.rng.choice([0.001, 1.0, 30.0])

    def _break_reads(self) -> None:
        self.backend_state.unreadable_until = self.scheduler.now + self.rng.choice([1.0, 60.0])

    def _create_directly(self, age: float = 0.0) -> None:
        """Create a module without the gateway, only if names are unique: otherwise it looks like a second send."""
        if self.backend_state.unique:
            draft = ModuleDraft(scope="s", parent=None, name="x", description="xb", owners=("o",))
            created = self.backend_state.commit(draft, None, age=age, user=OTHER_USER)
            self.backend_state.visited["created_directly"] += created is not None

    def _step_clock(self) -> None:
        step = self.rng.choice(self.clock_steps)
        self.rng.choice(self.replicas).process.wall_offset += step
        self.request_ids_expire_early |= step in _LONG_CLOCK_STEPS
        self.backend_state.visited["clock_stepped"] += 1

    def _read(self) -> None:
        """Show all modules to a client."""

        def list_modules(replica: Replica, call: CallContext) -> None:
            replica.backend.list(ModuleQuery(scope="s"), 50, None, call)
            self.backend_state.visited["listed"] += 1

        self._run_on_a_replica(list_modules)

    def _change(self) -> None:
        """Update or delete a module that is there, also one whose create is still on its way."""
        stored = self.rng.choice(self.backend_state.existing or [None])
        if stored is None:
            return
        module, started_at = stored.module, self.scheduler.now
        is_delete = self.rng.random() < 0.5

        def change(replica: Replica, call: CallContext) -> None:
            outcome = Outcome.UNKNOWN
            self.changes[module.id] += 1  # until it is known to be refused
            try:
                if is_delete:
                    replica.changes.delete(replica.backend, module.ref, cascade=False, call=call)
                    self.deletions.append(Deletion(module.id, started_at, self.scheduler.now))
                else:
                    replica.changes.update(replica.backend, module.ref, ModulePatch(name=module.name), call)
                outcome = Outcome.APPLIED
            except GatewayError as error:
                outcome = error.outcome
                raise
            finally:
                self.backend_state.visited[f"change_outcome:{outcome.value}"] += 1
                if outcome is Outcome.NOT_APPLIED:
                    self.changes[module.id] -= 1

        self._run_on_a_replica(change)

    def _run_on_a_replica(self, work: Callable[[Replica, CallContext], None]) -> None:
        replica = self.rng.choice(self.replicas)
        credential = "token" if self.backend_state.passthrough else None

        def run() -> None:
            with suppress(GatewayError):
                work(replica, self._call(replica, f"{self.seed}-direct", 20.0, credential))

        replica.runtime.spawn(run)

    @staticmethod
    def _call(replica: Replica, request_id: str, timeout: float, credential: str | None) -> CallContext:
        return CallContext(request_id, replica.runtime.monotonic() + timeout, credential=credential)

    def _drain(self) -> None:
        self.rng.choice(self.replicas).provisioner.draining = True
