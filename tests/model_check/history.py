"""One history: callers, retries, lost responses, crashes and late commits on two replicas, drawn from one seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from greenlet import getcurrent, greenlet

from gateway.domain.backend import CallContext
from gateway.domain.errors import GatewayError, Internal, JournalUnavailable, Outcome
from gateway.domain.journal import Journal
from gateway.domain.module import ModuleDraft
from gateway.domain.operation import Claim, ClaimResult
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import CreateResult, Provisioner
from gateway.provisioning.reconciler import Reconciler
from tests.model_check.backend import HARD_TIMEOUT, WINDOW, BackendState, SimulatedBackend
from tests.model_check.scheduler import EPOCH, Process, Scheduler, VirtualRuntime

#: The time in which every operation is settled: its lease, its window, and the lookups that follow; seconds.
SETTLED_AFTER_SECONDS: Final = HARD_TIMEOUT + 5.0 + WINDOW + 60.0
_ACTIVE_SECONDS: Final = 60.0


@dataclass
class Attempt:
    """One HTTP request and its result; it has none if the replica died or the caller left."""

    key: str | None
    request_id: str
    body: str
    started_at: float
    operation_id: str | None = None  # of the claim, if the request made one
    result: CreateResult | None = None
    error: GatewayError | None = None
    finished_at: float = 0.0

    @property
    def identity(self) -> tuple[str, str]:
        """The identity of the create that a request belongs to: the key, or without one the request id."""
        return ("key", self.key) if self.key is not None else ("memory", self.request_id)


@dataclass
class SimulatedJournal:
    """One replica's connection to the journal: delays calls, and fails before or after the commit."""

    journal: Journal
    runtime: VirtualRuntime
    history: History

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.journal, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._delay()
            self._fail("before")
            result = method(*args, **kwargs)
            if name == "claim":
                self.history.record_claim(args[0], result)
            self._delay()
            self._fail("after")
            return result

        return call

    def _delay(self) -> None:
        """Sometimes let other greenlets run, or a crash happen."""
        if self.history.rng.random() < 0.4:
            self.runtime.sleep(0.0005)

    def _fail(self, position: str) -> None:
        is_lost = position == "after" and self.history.rng.random() < self.history.journal_loss_rate
        if is_lost or self.runtime.now() < self.history.journal_down_until:
            self.history.backend_state.visited[f"journal_down_{position}"] += 1
            raise JournalUnavailable


@dataclass
class Replica:
    """One process of the gateway."""

    process: Process
    runtime: VirtualRuntime
    provisioner: Provisioner
    reconciler: Reconciler


@dataclass
class History:
    """All that happens in one simulation, and all responses."""

    seed: int
    journal: Journal
    scheduler: Scheduler = field(default_factory=Scheduler)
    attempts: list[Attempt] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    journal_down_until: float = 0.0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - repeatable by its seed
        unique = self.rng.random() < 0.7
        self.backend_state = BackendState(
            self.scheduler,
            self.rng,
            unique=unique,
            returns_created_at=self.rng.random() < 0.5,
            first_id=100 * (self.seed + 1),
        )
        #: The share of journal calls whose response is lost after the commit.
        self.journal_loss_rate = self.rng.choice([0.0, 0.0, 0.0, 0.03])
        self.clients = Process("clients")
        self.handlers: dict[greenlet, Attempt] = {}
        self.operations: set[str] = set()
        self._ids = itertools.count(1)

    def run(self) -> None:
        """Run all clients and faults, then run on until every operation is settled."""
        self.replicas = [self._start(f"replica-{number}") for number in (1, 2)]
        for number in range(self.rng.randint(1, 4)):
            self._add_client(number)
        for action in (self._crash, self._break_journal, self._break_reads, self._create_directly, self._drain):
            if self.rng.random() < 0.4:
                self.scheduler.at(EPOCH + self.rng.uniform(0.0, _ACTIVE_SECONDS), action)
        self.backend_state.read_lag = self.rng.choice([0.0, 0.0, 0.0, 4.0])
        end = EPOCH + 2 * _ACTIVE_SECONDS + SETTLED_AFTER_SECONDS
        while self.scheduler.now < end and not self._is_finished():
            self.scheduler.run(self.scheduler.now + 20.0)
        for replica in self.replicas:
            replica.process.alive = False

    def _is_finished(self) -> bool:
        """Return whether no client runs, no operation is active and no commit is due."""
        has_clients = any(not worker.dead for worker in self.clients.greenlets)
        faults_over = self.scheduler.now >= EPOCH + _ACTIVE_SECONDS
        return faults_over and not has_clients and not self.backend_state.pending and self.journal.next_due() is None

    def record_claim(self, claim: Claim, result: ClaimResult) -> None:
        """Record which request made which claim."""
        self.backend_state.visited[f"match:{result.match}"] += 1
        if result.match == "claimed":
            self.operations.add(claim.id)
            self.handlers[getcurrent()].operation_id = claim.id

    def _start(self, name: str) -> Replica:
        process = Process(name)
        runtime = VirtualRuntime(self.scheduler, process)
        journal: Any = SimulatedJournal(self.journal, runtime, self)
        backend = SimulatedBackend(self.backend_state, runtime)
        known_modules = KnownModules(journal, runtime)
        provisioner = Provisioner(
            journal=journal, runtime=runtime, new_id=self._new_id, worker_id=name, known_modules=known_modules
        )
        reconciler = Reconciler(
            journal=journal,
            runtime=runtime,
            backends={"sim": backend},  # type: ignore[dict-item] # it has the methods that provisioning calls
            worker_id=name,
            known_modules=known_modules,
            poll_interval=10.0,
        )
        runtime.spawn(reconciler.run)
        return Replica(process, runtime, provisioner, reconciler)

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
        start = EPOCH + rng.choice([0.0, rng.uniform(0.0, _ACTIVE_SECONDS)])

        def run() -> None:
            for timeout in timeouts:
                unique_key = key and f"{self.seed}-{key}"
                attempt = Attempt(unique_key, f"{self.seed}-{request_id}", f"{name}{body}", self.scheduler.now)
                self._request(attempt, name, timeout)
                error = attempt.error
                if (attempt.result is not None and not repeats_success) or (error is not None and not error.retryable):
                    return
                self.scheduler.pause(self.clients, rng.choice([0.0, 1.0, 20.0]))

        self.scheduler.at(start, lambda: self.scheduler.spawn(self.clients, run))

    def _request(self, attempt: Attempt, name: str, timeout: float) -> None:
        replica = self.rng.choice(self.replicas)
        done = VirtualRuntime(self.scheduler, self.clients).event()
        draft = ModuleDraft(scope="s", parent=None, name=name, description=attempt.body, owners=("o",))
        backend: Any = replica.reconciler.backends["sim"]
        request = CreateRequest(draft=draft, caller="caller", idempotency_key=attempt.key)

        def handle() -> None:
            self.handlers[getcurrent()] = attempt
            call = CallContext(attempt.request_id, self.scheduler.now + timeout)
            try:
                attempt.result = replica.provisioner.create(backend, request, call)
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

    def _crash(self) -> None:
        index = self.rng.randrange(len(self.replicas))
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

    def _create_directly(self) -> None:
        """Create a module without the gateway, only if names are unique: otherwise it looks like a second send."""
        if self.backend_state.unique:
            draft = ModuleDraft(scope="s", parent=None, name="x", description="xb", owners=("o",))
            self.backend_state.visited["meddled"] += self.backend_state.commit(draft, None) is not None

    def _drain(self) -> None:
        self.rng.choice(self.replicas).provisioner.draining = True
