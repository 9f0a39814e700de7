"""One history of updates: callers change the same modules through two replicas, and readers follow the change log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.domain.backend import CallContext
from gateway.domain.change import Change, ChangeEntry, ChangeFilter
from gateway.domain.errors import GatewayError, Internal, Outcome
from gateway.domain.module import ModuleDraft, ModulePatch
from gateway.provisioning.change_feed import ChangeFeed
from gateway.provisioning.change_reconciler import ChangeReconciler
from tests.model_check.backend import LATEST_WRITE
from tests.model_check.history import History, Replica
from tests.model_check.scheduler import EPOCH, VirtualRuntime

ACTIVE_SECONDS: Final = 40.0
_HARD_TIMEOUT: Final = 10.0
_WINDOW: Final = LATEST_WRITE + 1.0
#: The lease of a sender, which has a margin, the window, and a few polls; seconds.
HELD_AT_MOST: Final = _HARD_TIMEOUT + 5.0 + _WINDOW + 10.0


@dataclass
class Update:
    """One PATCH or DELETE and its outcome; it has none if the replica died or the caller left."""

    request_id: str
    module_id: str
    fields: Mapping[str, Any]  # the values by name; none for a DELETE
    started_at: float
    finished_at: float = float("inf")
    outcome: Outcome | None = None


@dataclass
class Reader:
    """A reader of the change log, and what it has read."""

    change_filter: ChangeFilter
    after: int
    entries: list[ChangeEntry] = field(default_factory=list)

    def read(self, feed: ChangeFeed, limit: int, wait_until: float | None) -> bool:
        """Read one page and go on from it; return whether there was something."""
        page = feed.read(self.change_filter, after=self.after, limit=limit, wait_until=wait_until)
        assert page.next_after >= self.after
        assert len(page.entries) <= limit
        self.entries += page.entries
        self.after = page.next_after
        return bool(page.entries)


@dataclass
class UpdateHistory(History):
    """Updates and deletes of two modules, with a create now and then."""

    last_begun_at: float = 0.0
    started_at: dict[str, float] = field(default_factory=dict)  # by process
    first_seq: int = 0  # the last entry of the log before this history
    updates: list[Update] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    feeds: dict[str, ChangeFeed] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)  # the request id, by change

    def __post_init__(self) -> None:
        super().__post_init__()
        state = self.backend_state
        state.unique, state.passthrough = True, False
        state.window, state.hard_timeout = _WINDOW, _HARD_TIMEOUT
        state.replaces_whole = self.rng.random() < 0.5

    def run(self) -> None:
        """Run callers, readers and faults, then wait until no hold may be left."""
        scheduler = self.scheduler
        self.replicas = [self._start(f"replica-{number}") for number in (1, 2)]
        for number in range(2):
            draft = ModuleDraft(scope="s", parent=None, name=f"m{number}", description="0", owners=("0",))
            self.backend_state.commit(draft, None)
        self._schedule_all()
        scheduler.run(EPOCH + ACTIVE_SECONDS + 60.0)
        while any(not worker.dead for worker in self.clients.greenlets):
            scheduler.run(scheduler.now + 10.0)
        self.journal_loss_rate, self.backend_state.freezes = 0.0, False
        frozen_until = max(replica.process.frozen_until for replica in self.replicas)
        # A window is observed by a process that lives throughout. A handler that was frozen may begin another change.
        observed_from = min(self.started_at[replica.process.name] for replica in self.replicas)
        calm_from = max(frozen_until, self.journal_down_until, observed_from)
        while scheduler.now < max(calm_from, self.last_begun_at) + HELD_AT_MOST:
            scheduler.run(scheduler.now + 5.0)
        self._read_the_rest()
        for replica in self.replicas:
            replica.process.alive = False

    def _schedule_all(self) -> None:
        """Schedule callers, readers and faults."""
        for _ in range(self.rng.randint(2, 4)):
            self._add_updater()
        for number in range(self.rng.choice([0, 0, 1])):
            self._add_client(number)
        for _ in range(2):
            self._add_reader()
        for action in (self._crash, self._crash, self._break_journal, self._break_reads, self._step_clock, self._drain):
            if self.rng.random() < 0.4:
                self.scheduler.at(EPOCH + self.rng.uniform(0.0, ACTIVE_SECONDS), action)
        for second in range(2, int(ACTIVE_SECONDS), 2):
            self.scheduler.at(EPOCH + second, self._crash_a_sender)

    def record_begin_change(self, is_begun: bool, change: Change) -> None:
        """Record which request made which change."""
        if is_begun:
            self.begun[change.id], self.last_begun_at = change.request_id, self.scheduler.now

    def record_end_change(self, _result: None, change_id: str, outcome: Outcome, **_values: Any) -> None:
        """Compare a recorded outcome with the backend."""
        writes = [write for write in self.backend_state.writes if write.request_id == self.begun.get(change_id)]
        is_applied = any(write.applied_at is not None for write in writes)
        is_pending = any(write.due_at > self.scheduler.now for write in writes)
        if (outcome is Outcome.APPLIED and not is_applied) or (
            outcome is Outcome.NOT_APPLIED and (is_applied or is_pending)
        ):
            self.backend_state.violations.append(f"{change_id} was recorded as {outcome.value}: {writes}")

    def _start(self, name: str) -> Replica:
        replica = super()._start(name)
        self.started_at[name] = self.scheduler.now
        self.feeds[name] = feed = ChangeFeed(replica.reconciler.journal, replica.runtime, 90 * 86_400.0)
        replica.runtime.spawn(
            ChangeReconciler(replica.reconciler.journal, replica.runtime, {"sim": replica.backend}).run
        )
        replica.runtime.spawn(feed.run)
        return replica

    def _crash_a_sender(self) -> None:
        """Sometimes kill the sender of a write that is still on its way."""
        pending = [write for write in self.backend_state.writes if write.due_at > self.scheduler.now]
        for index, replica in enumerate(self.replicas):
            if any(write.sender is replica.process for write in pending) and self.rng.random() < 0.05:
                self._crash(index)

    def _add_updater(self) -> None:
        """Add a caller that sends up to four changes of one module, most of them of one field."""
        rng = self.rng
        stored = rng.choice(self.backend_state.modules)
        timeouts = [rng.choice([0.3, 3.0, 10.0, 100.0]) for _ in range(4)]
        start = EPOCH + rng.choice([0.0, rng.uniform(0.0, ACTIVE_SECONDS)])

        def run() -> None:
            for timeout in timeouts:
                self._update(stored.module.ref, timeout)
                self.scheduler.pause(self.clients, rng.choice([0.0, 0.0, 1.0, 20.0]))

        self.scheduler.at(start, lambda: self.scheduler.spawn(self.clients, run))

    def _update(self, ref: str, timeout: float) -> None:
        rng, replica = self.rng, self.rng.choice(self.replicas)
        names = ["name", "owners", "description"] if self.backend_state.replaces_whole else ["name", "a", "b"]
        names = rng.sample(names, rng.choice([1, 1, 1, 2]))
        # Two updates may set the same value.
        fields = {} if rng.random() < 0.05 else {name: str(rng.randrange(5)) for name in names}
        update = Update(f"{self._new_id()}-update", f"sim.{ref}", fields, self.scheduler.now)
        self.updates.append(update)
        done = VirtualRuntime(self.scheduler, self.clients).event()
        is_matched = rng.random() < 0.3

        def handle() -> None:
            call = CallContext(update.request_id, replica.runtime.monotonic() + timeout)
            try:
                if_match = None
                if is_matched:
                    if_match = [str(replica.backend.capabilities.etag(replica.backend.get(ref, call)))]
                if fields:
                    replica.changes.update(replica.backend, ref, _patch(fields), call, if_match=if_match)
                else:
                    replica.changes.delete(replica.backend, ref, cascade=False, call=call, if_match=if_match)
                update.outcome = Outcome.APPLIED
            except GatewayError as error:
                update.outcome = error.outcome
                self.backend_state.visited[f"update:{error.code}"] += 1
            except Exception:  # the api responds with 500
                update.outcome = Internal.outcome
                raise
            update.finished_at = self.scheduler.now
            done.set()

        replica.runtime.spawn(handle)
        if not done.wait(timeout + 1.0):
            self.backend_state.visited["update:no_answer"] += 1

    def _add_reader(self) -> None:
        """Add a reader that goes on at any replica from where it is, also after a response that it did not get."""
        rng = self.rng
        module_id = rng.choice([None, None, self.backend_state.modules[0].module.id])
        reader = Reader(ChangeFilter(module=module_id), self.first_seq)
        self.readers.append(reader)

        def run() -> None:
            while self.scheduler.now < EPOCH + ACTIVE_SECONDS + 60.0:
                replica, wait, limit = rng.choice(self.replicas), rng.choice([0.0, 2.0, 20.0]), rng.choice([1, 2, 100])
                self._read_page(reader, replica, limit, wait)
                self.scheduler.pause(self.clients, rng.choice([0.001, 0.5, 7.0]))

        self.scheduler.spawn(self.clients, run)

    def _read_page(self, reader: Reader, replica: Replica, limit: int, wait: float) -> None:
        attempt = Reader(reader.change_filter, reader.after)
        done = VirtualRuntime(self.scheduler, self.clients).event()
        feed = self.feeds[replica.process.name]

        def handle() -> None:
            try:
                attempt.read(feed, limit, replica.runtime.monotonic() + wait if wait else None)
            except GatewayError as error:
                self.backend_state.visited[f"changes:{error.code}"] += 1
            done.set()

        replica.runtime.spawn(handle)
        if done.wait(wait + 5.0):
            self.backend_state.visited["changes:waited"] += bool(wait and attempt.entries)
            reader.entries += attempt.entries
            reader.after = attempt.after

    def _read_the_rest(self) -> None:
        self.journal.publish_changes(1000)
        feed = ChangeFeed(self.journal, self.replicas[0].runtime, 90 * 86_400.0)
        for reader in (*self.readers, Reader(ChangeFilter(), self.first_seq)):
            while reader.read(feed, 100, None):
                pass
        self.log = reader.entries


def _patch(fields: Mapping[str, Any]) -> ModulePatch:
    values: dict[str, Any] = {name: (value,) if name == "owners" else value for name, value in fields.items()}
    attributes: dict[str, Any] = {name: values.pop(name) for name in ("a", "b") if name in values}
    return ModulePatch(**values, attributes=attributes)
