"""One history: callers, retries, lost answers, crashes and late commits on two replicas, all drawn from one seed."""

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
from tests.model_check.backend import HARD_TIMEOUT, WINDOW, SimulatedBackend, World
from tests.model_check.scheduler import EPOCH, Process, Scheduler, VirtualRuntime

#: A lease, the window, the steady looks after it, and somebody who must first see it.
SETTLED_AFTER: Final = HARD_TIMEOUT + 5.0 + WINDOW + 60.0
_ACTIVE: Final = 60.0


@dataclass
class Attempt:
    """One HTTP request, and what came of it; no answer where the replica died or the caller left."""

    key: str | None
    request_id: str
    body: str
    asked_at: float
    claimed: str | None = None
    answer: CreateResult | None = None
    error: GatewayError | None = None
    answered_at: float = 0.0

    @property
    def identity(self) -> tuple[str, str]:
        """What makes two requests the same create: the key, or without one the request id."""
        return ("key", self.key) if self.key is not None else ("memory", self.request_id)


@dataclass
class SimulatedJournal:
    """A replica's way to the journal: takes time, may fail before or after the commit, dies with its process."""

    inner: Journal
    runtime: VirtualRuntime
    history: History

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.inner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._dawdle()
            self._fail("before")
            result = method(*args, **kwargs)
            if name == "claim":
                self.history.note_claim(args[0], result)
            self._dawdle()
            self._fail("after")
            return result

        return call

    def _dawdle(self) -> None:
        """Let others in between, and a crash, but not each time."""
        if self.history.chance.random() < 0.4:
            self.runtime.sleep(0.0005)

    def _fail(self, when: str) -> None:
        flaky = when == "after" and self.history.chance.random() < self.history.flakiness
        if flaky or self.runtime.now() < self.history.journal_down_until:
            self.history.world.visited[f"journal_down_{when}"] += 1
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
    """Everything that happens, and everything that was said."""

    seed: int
    journal: Journal
    scheduler: Scheduler = field(default_factory=Scheduler)
    attempts: list[Attempt] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    journal_down_until: float = 0.0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - repeatable on purpose
        unique = self.chance.random() < 0.7
        self.world = World(
            self.scheduler,
            self.chance,
            unique=unique,
            tells_time=self.chance.random() < 0.5,
            first_id=100 * (self.seed + 1),
        )
        self.flakiness = self.chance.choice([0.0, 0.0, 0.0, 0.03])  # of replies that the journal's commits get lost
        self.clients = Process("clients")
        self.handlers: dict[greenlet, Attempt] = {}
        self.operations: set[str] = set()
        self._ids = itertools.count(1)
        self._base = self.seed

    def run(self) -> None:
        """Let it all happen, then let it settle."""
        self.replicas = [self._start(f"replica-{number}") for number in (1, 2)]
        for number in range(self.chance.randint(1, 4)):
            self._add_client(number)
        for action in (self._crash, self._break_journal, self._break_reads, self._meddle, self._drain):
            if self.chance.random() < 0.4:
                self.scheduler.at(EPOCH + self.chance.uniform(0.0, _ACTIVE), action)
        self.world.read_lag = self.chance.choice([0.0, 0.0, 0.0, 4.0])
        end = EPOCH + 2 * _ACTIVE + SETTLED_AFTER
        while self.scheduler.now < end and not self._quiet():
            self.scheduler.run(self.scheduler.now + 20.0)
        for replica in self.replicas:
            replica.process.alive = False

    def _quiet(self) -> bool:
        """Nobody asks any more, nothing is open, and no commit is still to come."""
        asking = any(not worker.dead for worker in self.clients.greenlets)
        over = self.scheduler.now >= EPOCH + _ACTIVE
        return over and not asking and not self.world.pending and self.journal.next_due() is None

    def note_claim(self, claim: Claim, claimed: ClaimResult) -> None:
        """Remember which request owns which operation."""
        self.world.visited[f"match:{claimed.match}"] += 1
        if claimed.match == "claimed":
            self.operations.add(claim.id)
            self.handlers[getcurrent()].claimed = claim.id

    def _start(self, name: str) -> Replica:
        process = Process(name)
        runtime = VirtualRuntime(self.scheduler, process)
        journal: Any = SimulatedJournal(self.journal, runtime, self)
        backend = SimulatedBackend(self.world, runtime)
        known_modules = KnownModules(journal, runtime)
        provisioner = Provisioner(
            journal=journal, runtime=runtime, new_id=self._new_id, worker_id=name, known_modules=known_modules
        )
        reconciler = Reconciler(
            journal=journal,
            runtime=runtime,
            backends={"sim": backend},  # type: ignore[dict-item] # what the machine asks of one
            worker_id=name,
            known_modules=known_modules,
            poll_interval=10.0,
        )
        runtime.spawn(reconciler.run)
        return Replica(process, runtime, provisioner, reconciler)

    def _new_id(self) -> str:
        return f"{self.seed}-{next(self._ids)}"

    def _add_client(self, number: int) -> None:
        """A caller who wants one module and asks for it up to four times."""
        chance = self.chance
        key = chance.choice([None, None, f"key-{number}", "key-shared"])
        request_id = chance.choice([f"request-{number}", "request-shared"])
        body = chance.choice(["a", "a", "b"])
        name = chance.choice(["x", "x", "y"])
        patience = [chance.choice([0.3, 3.0, 10.0]) for _ in range(4)]
        forgetful = chance.random() < 0.3  # asks again although it was answered
        start = EPOCH + chance.choice([0.0, chance.uniform(0.0, _ACTIVE)])

        def live() -> None:
            for seconds in patience:
                named = key and f"{self.seed}-{key}"
                attempt = Attempt(named, f"{self.seed}-{request_id}", f"{name}{body}", self.scheduler.now)
                self._request(attempt, name, seconds)
                told = attempt.error
                if (attempt.answer is not None and not forgetful) or (told is not None and not told.retryable):
                    return
                self.scheduler.pause(self.clients, chance.choice([0.0, 1.0, 20.0]))

        self.scheduler.at(start, lambda: self.scheduler.spawn(self.clients, live))

    def _request(self, attempt: Attempt, name: str, patience: float) -> None:
        replica = self.chance.choice(self.replicas)
        done = VirtualRuntime(self.scheduler, self.clients).event()
        draft = ModuleDraft(scope="s", parent=None, name=name, description=attempt.body, owners=("o",))
        backend: Any = replica.reconciler.backends["sim"]
        order = CreateRequest(draft=draft, caller="caller", idempotency_key=attempt.key)

        def handle() -> None:
            self.handlers[getcurrent()] = attempt
            call = CallContext(attempt.request_id, self.scheduler.now + patience)
            try:
                attempt.answer = replica.provisioner.create(backend, order, call)
            except GatewayError as error:
                attempt.error = error
            except Exception:  # what the service would answer as 500
                attempt.error = Internal()
                raise
            attempt.answered_at = self.scheduler.now
            done.set()

        self.attempts.append(attempt)
        replica.runtime.spawn(handle)
        if not done.wait(patience + 1.0):
            self.world.visited["no_answer"] += 1
        elif attempt.error is not None:
            self.world.visited[f"code:{attempt.error.code}"] += 1
            assert attempt.error.outcome is not Outcome.APPLIED
        elif attempt.answer is not None and attempt.answer.replayed:
            self.world.visited["replayed"] += 1

    def _crash(self) -> None:
        victim = self.chance.randrange(len(self.replicas))
        self.replicas[victim].process.alive = False
        self.world.visited["crash"] += 1
        back = self.scheduler.now + self.chance.uniform(0.0, 50.0)
        self.scheduler.at(back, lambda: self._restart(victim))

    def _restart(self, victim: int) -> None:
        self.replicas[victim] = self._start(f"replica-{victim}-again")

    def _break_journal(self) -> None:
        self.journal_down_until = self.scheduler.now + self.chance.choice([0.001, 1.0, 30.0])

    def _break_reads(self) -> None:
        self.world.unreadable_until = self.scheduler.now + self.chance.choice([1.0, 60.0])

    def _meddle(self) -> None:
        """Somebody else takes the name, past the gateway; only a backend with unique names can be told apart then."""
        if self.world.unique:
            draft = ModuleDraft(scope="s", parent=None, name="x", description="xb", owners=("o",))
            self.world.visited["meddled"] += self.world.commit(draft, None) is not None

    def _drain(self) -> None:
        self.chance.choice(self.replicas).provisioner.draining = True
