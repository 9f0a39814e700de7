"""The reconciler in one process: what it takes, asks, settles and survives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendTimeout, JournalUnavailable, OutcomeUnknown
from gateway.domain.journal import Journal
from gateway.domain.module import ModuleDraft
from gateway.domain.operation import State
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import CreateRequest, Provisioner
from gateway.provisioning.reconciler import Reconciler
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend

DRAFT = ModuleDraft(scope="1", parent="10", name="lost", owners=("admin",))


@pytest.fixture
def provisioner(journal: Journal, clock: VirtualClock) -> Provisioner:
    ids = itertools.count(1)
    return Provisioner(
        journal=journal,
        runtime=clock,
        new_id=lambda: f"op-{next(ids)}",
        worker_id="me",
        known_modules=KnownModules(journal, clock),
        reconcile_now=lambda _operation, _call: None,
    )


@pytest.fixture
def lookups() -> list[tuple[str, str]]:
    """What the reconciler told whoever counts."""
    return []


@pytest.fixture
def reconciler(
    provisioner: Provisioner, journal: Journal, clock: VirtualClock, cmdb: FakeBackend, lookups: list[tuple[str, str]]
) -> Reconciler:
    return Reconciler(
        journal=journal,
        runtime=clock,
        backends={"cmdb": cmdb},
        worker_id="me",
        known_modules=provisioner.known_modules,
        on_lookup=lambda backend, verdict: lookups.append((backend, verdict)),
    )


@pytest.fixture
def lost(provisioner: Provisioner, cmdb: FakeBackend, clock: VirtualClock) -> str:
    """The id of an operation whose reply was lost, and that may have been applied."""
    create = cmdb.create

    def lose(draft: ModuleDraft, call: CallContext) -> Any:
        raise OutcomeUnknown

    cmdb.create = lose  # type: ignore[method-assign]
    operation = provisioner.begin(
        CreateRequest(backend=cmdb, draft=DRAFT, caller="c"), CallContext("r", clock.monotonic() + 1)
    )
    cmdb.create = create  # type: ignore[method-assign]
    return operation.operation.claim.id


def state(journal: Journal, operation_id: str) -> State:
    operation = journal.get(operation_id)
    assert operation is not None
    return operation.state


def test_nothing_is_looked_for_before_it_is_due(reconciler: Reconciler, lookups: list[Any], lost: str) -> None:
    """The first look waits for its time."""
    reconciler.run_once()
    assert lookups == []


def test_what_never_came_is_settled_when_the_window_closes(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, lookups: list[Any], lost: str
) -> None:
    """Seven looks on schedule, and then the create is known not to have been applied."""
    started = clock.seconds
    while state(journal, lost).is_active:
        clock.sleep(max((journal.next_due() or 0.0) - clock.seconds, 0.0))
        reconciler.run_once()
    assert state(journal, lost) is State.NOT_APPLIED
    assert lookups == [*[("cmdb", "nothing_found")] * 6, ("cmdb", "not_applied")]
    assert clock.seconds - started == pytest.approx(130.0)


def test_a_backend_that_cannot_be_asked_settles_nothing(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, cmdb: FakeBackend, lookups: list[Any], lost: str
) -> None:
    """However late it is: silence is repeated, not concluded from."""

    def silent(draft: ModuleDraft, call: CallContext) -> Any:
        raise BackendTimeout

    cmdb.find_by_natural_key = silent  # type: ignore[method-assign]
    for _ in range(3):
        clock.sleep(200.0)
        reconciler.run_once()
    assert state(journal, lost) is State.RECONCILING
    assert lookups == [("cmdb", "look_failed:backend_timeout")] * 3


def test_a_connection_that_is_gone_leaves_its_operations_open(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, lookups: list[Any], lost: str
) -> None:
    """A backend that was taken out of the configuration can come back; until then nothing is concluded."""
    reconciler.backends = {}
    clock.sleep(500.0)
    reconciler.run_once()
    assert state(journal, lost) is State.RECONCILING
    assert lookups == [("cmdb", "look_failed:backend_unknown")]


def test_ended_operations_expire_after_a_day(
    reconciler: Reconciler, provisioner: Provisioner, journal: Journal, clock: VirtualClock, cmdb: FakeBackend
) -> None:
    """A success is remembered for 24 hours, then forgotten."""
    order = CreateRequest(backend=cmdb, draft=replace(DRAFT, name="kept"), caller="c", idempotency_key="k")
    operation_id = provisioner.create(order, CallContext("r", clock.monotonic() + 10)).operation_id
    clock.sleep(24 * 3600.0 - 1)
    reconciler.run_once()
    assert journal.get(operation_id) is not None
    clock.sleep(62.0)
    reconciler.run_once()
    assert journal.get(operation_id) is None


def test_many_that_ended_expire_one_batch_after_another(
    reconciler: Reconciler, journal: Journal, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While there is more than a batch the next one follows with the next look, not a minute later."""
    asked: list[float] = []
    left = [1000, 1000, 7, 0]

    def expire(*, settled_before: float, limit: int) -> int:
        asked.append(clock.now())
        return min(left.pop(0), limit)

    monkeypatch.setattr(journal, "expire", expire)
    for _ in range(62):
        reconciler.run_once()
        clock.sleep(1.0)
    assert [round(at - asked[0]) for at in asked] == [0, 1, 2]


def test_the_journal_is_tidied_with_every_look(
    reconciler: Reconciler, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About once a second it may do what else would be done while a caller waits."""
    tidied: list[str] = []
    monkeypatch.setattr(journal, "checkpoint", lambda: tidied.append("now"))
    for _ in range(3):
        reconciler.run_once()
    assert tidied == ["now"] * 3


def test_no_failure_ends_it(reconciler: Reconciler, journal: Journal, clock: VirtualClock) -> None:
    """A journal that is down, and a bug, are survived; between looks it waits, and stop is stop."""
    broken = _Broken(journal, iter([JournalUnavailable(), RuntimeError("a bug"), None]), reconciler)
    reconciler.journal = broken  # type: ignore[assignment] # the parts that are asked for
    started = clock.seconds
    reconciler.run()
    assert broken.asked == 3
    assert clock.seconds - started == pytest.approx(3.0)


class _Broken:
    """A journal that fails in order, and at last stops who asks it."""

    def __init__(self, journal: Journal, failures: Iterator[Exception | None], reconciler: Reconciler) -> None:
        self._journal = journal
        self._failures = failures
        self._reconciler = reconciler
        self.asked = 0

    def expire(self, **_kwargs: Any) -> int:
        return 0

    def checkpoint(self) -> None:
        pass

    def next_due(self) -> float | None:
        if self.asked == 1:
            raise JournalUnavailable
        return None

    def lease_due(self, *_args: Any, **_kwargs: Any) -> list[Any]:
        self.asked += 1
        failure = next(self._failures)
        if failure is not None:
            raise failure
        self._reconciler.stopped = True
        return []


def test_it_does_not_wait_while_there_is_more(
    reconciler: Reconciler, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a full batch it takes the next one at once."""
    rounds = iter([True, True, False])

    def run_once(self: Reconciler) -> bool:
        more = next(rounds)
        self.stopped = not more
        return more

    monkeypatch.setattr(Reconciler, "run_once", run_once)
    started = clock.seconds
    reconciler.run()
    assert clock.seconds - started == pytest.approx(1.0)
