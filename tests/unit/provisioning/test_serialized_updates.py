"""Changes of one module are sent one after the other, with a hold that ends when no late write can follow."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from gateway.app import SystemRuntime
from gateway.domain.backend import CallContext
from gateway.domain.change import Change, ChangeFilter
from gateway.domain.errors import (
    BackendTimeout,
    GatewayError,
    JournalUnavailable,
    ModuleBusy,
    Outcome,
    OutcomeUnknown,
    PreconditionFailed,
)
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft, ModulePatch, Owner
from gateway.provisioning.change_reconciler import ChangeReconciler
from gateway.provisioning.module_holds import ModuleHolds
from gateway.provisioning.update_delete import ChangeService, changed_fields, is_shown
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend
from tests.unit.journals.records import make_change

RENAME = ModulePatch(name="renamed")


@pytest.fixture
def module(cmdb: FakeBackend, call: CallContext) -> Module:
    return cmdb.create(
        ModuleDraft(scope="1", parent="10", name="old", owners=("ann",), attributes={"remark": "r"}), call
    )


@pytest.fixture
def reconciler(journal: Journal, clock: VirtualClock, cmdb: FakeBackend) -> ChangeReconciler:
    return ChangeReconciler(journal, clock, {"cmdb": cmdb})


def update_unknown(changes: ChangeService, cmdb: FakeBackend, module: Module, call: CallContext, **values: Any) -> None:
    """Send an update whose response is lost; whether it is applied is up to the test."""
    cmdb.fails["update"] = OutcomeUnknown()
    with pytest.raises(OutcomeUnknown):
        changes.update(cmdb, module.ref, RENAME, call, **values)
    del cmdb.fails["update"]


def later(clock: VirtualClock) -> CallContext:
    return CallContext("later", clock.monotonic() + 5.0)


def outcomes(journal: Journal) -> list[str]:
    journal.publish_changes(100)
    return [entry.outcome.value for entry in journal.list_changes(ChangeFilter(), after=0, limit=100).entries]


def test_a_held_module_is_busy(
    journal: Journal, changes: ChangeService, cmdb: FakeBackend, module: Module, call: CallContext
) -> None:
    """A change waits for the one of another process until its deadline, and is then refused; nothing is sent."""
    journal.begin_change(make_change(module.id))
    cmdb.sent.clear()
    for act in (
        lambda: changes.update(cmdb, module.ref, RENAME, call),
        lambda: changes.delete(cmdb, module.ref, cascade=False, call=call),
    ):
        with pytest.raises(ModuleBusy):
            act()
    assert cmdb.writes == []


def test_a_change_follows_when_the_other_has_ended(
    journal: Journal, changes: ChangeService, cmdb: FakeBackend, module: Module, call: CallContext, clock: VirtualClock
) -> None:
    """The second change is sent as soon as the journal shows the end of the first."""
    first = make_change(module.id)
    journal.begin_change(first)
    sleep = clock.sleep

    def sleep_until_ended(seconds: float) -> None:
        journal.end_change(first.id, Outcome.APPLIED, at=clock.now())
        sleep(seconds)

    clock.sleep = sleep_until_ended  # type: ignore[method-assign]
    assert changes.update(cmdb, module.ref, RENAME, call).name == "renamed"


def test_changes_of_one_process_wait_in_line(journal: Journal) -> None:
    """Of eight threads one at a time is inside, in the order of arrival, and only the first reads the journal."""
    runtime = SystemRuntime()
    holds, order, inside = ModuleHolds(journal, runtime), [], threading.Semaphore(1)
    begun: list[str] = []
    begin = journal.begin_change
    journal.begin_change = lambda change: begun.append(change.id) or begin(change)  # type: ignore[method-assign, func-returns-value, redundant-expr]

    def work(number: int) -> None:
        change = make_change("m", id=f"{number}")
        with holds.hold(change, runtime.monotonic() + 30.0):
            assert inside.acquire(blocking=False), "two at a time"
            order.append(number)
            runtime.sleep(0.02)
            inside.release()
            holds.end(change.id, Outcome.APPLIED)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
        runtime.sleep(0.005)
    for thread in threads:
        thread.join()
    assert order == list(range(8))
    assert begun == [f"{number}" for number in range(8)], "a waiting change polled the journal"
    assert not holds._queues


def test_a_change_in_line_leaves_at_its_deadline(journal: Journal) -> None:
    """The change behind it is then the next, and the line is removed at the end."""
    runtime = SystemRuntime()
    holds = ModuleHolds(journal, runtime)
    with (
        holds.hold(make_change("m"), runtime.monotonic() + 5.0),
        pytest.raises(ModuleBusy),
        holds.hold(make_change("m"), runtime.monotonic() + 0.01),
    ):
        pytest.fail("entered")
    assert not holds._queues


@pytest.mark.parametrize("position", ["begin", "end"])
def test_a_failed_journal_write_is_repeated(
    journal: Journal, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, position: str
) -> None:
    """A change that may have been recorded is withdrawn, an outcome is recorded: neither holds its module."""
    holds, change = ModuleHolds(journal, clock), make_change("m")
    write, failures = getattr(journal, f"{position}_change"), iter([True, True])

    def fail_once(*args: Any, **values: Any) -> Any:
        result = write(*args, **values) if position == "begin" else None
        if next(failures, False):
            raise JournalUnavailable
        return write(*args, **values) if position == "end" else result

    monkeypatch.setattr(type(journal), f"{position}_change", lambda _self, *args, **values: fail_once(*args, **values))
    if position == "begin":
        with pytest.raises(JournalUnavailable), holds.hold(change, clock.monotonic() + 5.0):
            pytest.fail("entered")
    else:
        with holds.hold(change, clock.monotonic() + 5.0):
            holds.end(change.id, Outcome.APPLIED)
    assert not journal.held_changes()


def test_if_match_is_checked_under_the_hold(
    journal: Journal, changes: ChangeService, cmdb: FakeBackend, module: Module, call: CallContext
) -> None:
    """A module with another etag is not changed; the error has the current one. One of several etags is enough."""
    etag = cmdb.capabilities.etag(module)
    assert etag
    with pytest.raises(PreconditionFailed) as caught:
        changes.update(cmdb, module.ref, RENAME, call, if_match=["other"])
    assert (caught.value.etag, caught.value.outcome) == (etag, Outcome.NOT_APPLIED)
    with pytest.raises(PreconditionFailed):
        changes.update(cmdb, module.ref, ModulePatch(), call, if_match=[])
    with pytest.raises(PreconditionFailed):
        changes.delete(cmdb, module.ref, cascade=True, call=call, if_match=["other"])
    assert cmdb.modules[module.native_id] == module
    changes.update(cmdb, module.ref, RENAME, call, if_match=["other", etag])
    with pytest.raises(PreconditionFailed):
        changes.update(cmdb, module.ref, RENAME, call, if_match=[etag])
    changes.delete(cmdb, module.ref, cascade=False, call=call, if_match=["*"])
    assert outcomes(journal) == ["not_applied", "not_applied", "applied", "not_applied", "applied"]


def test_if_match_of_a_cascade_is_checked_first(
    changes: ChangeService, cmdb: FakeBackend, module: Module, call: CallContext
) -> None:
    """No child is deleted if the module itself has another etag."""
    cmdb.modules["9"] = replace(module, native_id="9", ref="1.0.9", parent=module.native_id)
    with pytest.raises(PreconditionFailed):
        changes.delete(cmdb, module.ref, cascade=True, call=call, if_match=["other"])
    assert set(cmdb.modules) == {module.native_id, "9"}


@pytest.mark.parametrize("if_match", [None, ["*"]])
def test_no_read_without_etags(
    cmdb: FakeBackend, changes: ChangeService, module: Module, call: CallContext, if_match: Any
) -> None:
    """Without an etag to compare, an update sends what it sent before: the module is not read for it."""
    checks: list[object] = []
    update = cmdb.update
    cmdb.update = lambda ref, patch, call, check=None: checks.append(check) or update(ref, patch, call)  # type: ignore[method-assign, func-returns-value, redundant-expr]
    changes.update(cmdb, module.ref, RENAME, call, if_match=if_match)
    assert checks == [None]


def test_an_unknown_update_holds_until_it_is_shown(
    journal: Journal,
    changes: ChangeService,
    reconciler: ChangeReconciler,
    cmdb: FakeBackend,
    module: Module,
    call: CallContext,
    clock: VirtualClock,
) -> None:
    """The module is busy until a read shows the update; the verdict is an entry of its own."""
    update_unknown(changes, cmdb, module, call, if_match=[str(cmdb.capabilities.etag(module))])
    assert outcomes(journal) == ["unknown"]
    reconciler.run_once()
    with pytest.raises(ModuleBusy):
        changes.update(cmdb, module.ref, RENAME, later(clock))
    cmdb.modules[module.native_id] = replace(module, name="renamed")
    clock.sleep(30.0)
    reconciler.run_once()
    assert outcomes(journal) == ["unknown", "applied"]
    changes.update(cmdb, module.ref, ModulePatch(name="third"), later(clock))


def test_a_read_after_the_release_shows_nothing(
    journal: Journal,
    changes: ChangeService,
    reconciler: ChangeReconciler,
    cmdb: FakeBackend,
    module: Module,
    call: CallContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A value that is read when the module is no longer held may be that of a later change."""
    update_unknown(changes, cmdb, module, call, if_match=[str(cmdb.capabilities.etag(module))])
    get = cmdb.get

    def get_late(ref: str, call: CallContext) -> Module:
        for change in journal.held_changes():
            journal.release_change(change.id)
        cmdb.modules[module.native_id] = replace(module, name="renamed")
        return get(ref, call)

    monkeypatch.setattr(cmdb, "get", get_late)
    reconciler.run_once()
    assert outcomes(journal) == ["unknown"]


def test_the_time_to_send_begins_before_the_record(
    journal: Journal,
    changes: ChangeService,
    cmdb: FakeBackend,
    module: Module,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that is suspended in the commit of a change sends nothing when the lease is over."""
    begin, update, deadlines = journal.begin_change, cmdb.update, []
    hard_timeout = cmdb.capabilities.hard_timeout_seconds
    latest = clock.monotonic() + hard_timeout

    def begin_slowly(change: Change) -> bool:
        is_begun = begin(change)
        clock.sleep(hard_timeout - 1.0)
        return is_begun

    def record(ref: str, patch: ModulePatch, call: CallContext, check: Any = None) -> Module:
        deadlines.append(call.deadline)
        return update(ref, patch, call, check)

    monkeypatch.setattr(journal, "begin_change", begin_slowly)
    monkeypatch.setattr(cmdb, "update", record)
    changes.update(cmdb, module.ref, RENAME, CallContext("request", clock.monotonic() + 1000.0))
    assert deadlines == [latest]


def test_what_was_there_before_shows_nothing(
    journal: Journal,
    changes: ChangeService,
    reconciler: ChangeReconciler,
    cmdb: FakeBackend,
    module: Module,
    call: CallContext,
    clock: VirtualClock,
) -> None:
    """Without the value of before, or with the same one, the module is held to the end of the window, and no longer."""
    update_unknown(changes, cmdb, module, call)
    cmdb.modules[module.native_id] = replace(module, name="renamed")
    capabilities = cmdb.capabilities
    window = capabilities.hard_timeout_seconds + capabilities.settle_seconds
    reconciler.run_once()
    for _ in range(int(window)):
        clock.sleep(1.0)
        reconciler.run_once()
        assert len(journal.held_changes()) == 1
    clock.step(-3600.0)
    clock.sleep(6.0)
    reconciler.run_once()
    assert not journal.held_changes()
    assert outcomes(journal) == ["unknown"]


def test_a_change_of_a_dead_sender_becomes_unknown(
    journal: Journal, reconciler: ChangeReconciler, module: Module, clock: VirtualClock
) -> None:
    """After the lease, measured on a monotonic clock, it is published as unknown; then its window begins."""
    change = make_change(module.id, backend="cmdb")
    journal.begin_change(change)
    clock.step(3600.0)
    reconciler.run_once()
    assert outcomes(journal) == []
    clock.sleep(change.lease_seconds)
    reconciler.run_once()
    assert outcomes(journal) == ["unknown"]
    clock.sleep(change.settle_seconds - 1.0)
    reconciler.run_once()
    assert journal.held_changes()
    clock.sleep(1.0)
    reconciler.run_once()
    assert not journal.held_changes()


@pytest.mark.parametrize(
    ("action", "failure", "outcome"),
    [
        ("delete", "gone", ["unknown", "applied"]),
        ("update", "gone", ["unknown"]),
        ("update", BackendTimeout(), ["unknown"]),
        ("update", "journal", ["unknown"]),
        ("update", "no connection", ["unknown"]),
    ],
)
def test_reads_that_show_nothing(
    journal: Journal,
    reconciler: ChangeReconciler,
    cmdb: FakeBackend,
    module: Module,
    action: Any,
    failure: Any,
    outcome: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A module that is gone shows a delete; a failed read, journal or connection shows nothing."""
    fields = {"name": {"from": "before", "to": module.name}}
    change = make_change(module.id, backend="cmdb" if failure != "no connection" else "x", action=action, fields=fields)
    journal.begin_change(change)
    journal.end_change(change.id, Outcome.UNKNOWN, at=0.0)
    journal.publish_changes(10)
    if failure == "gone":
        del cmdb.modules[module.native_id]
    elif isinstance(failure, GatewayError):
        cmdb.fails["get"] = failure
    elif failure == "journal":

        def fail(*_args: Any, **_values: Any) -> None:
            raise JournalUnavailable

        monkeypatch.setattr(type(journal), "end_change", fail)
    reconciler.run_once()
    assert outcomes(journal) == outcome


def test_the_reconciler_survives_failures(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, clock: VirtualClock
) -> None:
    """A failed journal and a bug end a pass, not the loop."""
    failures: list[Exception] = [JournalUnavailable(), RuntimeError("bug")]

    def fail(_self: object) -> list[Change]:
        if failures:
            raise failures.pop()
        raise SystemExit

    monkeypatch.setattr(type(journal), "held_changes", fail)
    with pytest.raises(SystemExit):
        ChangeReconciler(journal, clock, {}).run()


FIELDS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"name": {"from": "old", "to": "new"}}, {"name": "new"}, True),
    ({"name": {"from": "old", "to": "new"}}, {"name": "old"}, False),
    ({"name": {"from": "new", "to": "new"}}, {"name": "new"}, False),
    ({"name": {"to": "new"}}, {"name": "new"}, False),
    ({"owners": {"from": ["b"], "to": ["a"]}}, {"owners": (Owner("a"),)}, True),
    ({"owners": {"from": ["a"], "to": None}}, {}, True),
    ({"attributes.x": {"from": 1, "to": 2}}, {"attributes": {"x": 2}}, True),
    ({"attributes.x": {"from": 1, "to": 2}, "name": {"from": "old", "to": "n"}}, {"attributes": {"x": 2}}, False),
    ({"description": {"from": "a", "to": "b"}}, {"description": "b", "unavailable": ("description",)}, False),
]


@pytest.mark.parametrize(("fields", "values", "expected"), FIELDS)
def test_is_shown(fields: dict[str, Any], values: dict[str, Any], *, expected: bool) -> None:
    """An update is shown by a module that has all of its values, one of them a new one."""
    module = Module(
        **{"backend": "b", "ref": "r", "native_id": "1", "scope": "s", "parent": None, "name": "x"} | values
    )
    assert is_shown(fields, module) is expected


def test_changed_fields(module: Module) -> None:
    """The values before are left out where the module is not known or does not contain them."""
    patch = ModulePatch(name="n", description=None, owners=("b",), attributes={"remark": None, "other": 1})
    to = {"name": "n", "description": None, "owners": ["b"], "attributes.remark": None, "attributes.other": 1}
    assert changed_fields(patch, None) == {name: {"to": value} for name, value in to.items()}
    before = {"name": "old", "owners": ["ann"], "attributes.remark": "r"}
    unreadable = replace(module, unavailable=("description",))
    assert changed_fields(patch, unreadable) == {
        name: ({"from": before[name]} if name in before else {}) | {"to": value} for name, value in to.items()
    }
    assert changed_fields(None, None) == {}
    assert changed_fields(None, module) == {"name": {"from": "old", "to": None}}


def test_an_outcome_that_is_never_recorded(
    journal: Journal, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last attempt the change is left to the reconciler."""

    def fail(*_args: Any, **_values: Any) -> None:
        raise JournalUnavailable

    monkeypatch.setattr(type(journal), "end_change", fail)
    began_at = clock.monotonic()
    ModuleHolds(journal, clock).end("change", Outcome.APPLIED)
    assert clock.monotonic() - began_at == 38.5
