"""Holds on modules, the change log, lists of operations and verdicts, in all journals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.domain.change import ChangeFilter
from gateway.domain.errors import ChangesExpired, Outcome
from gateway.domain.journal import Journal
from gateway.domain.operation import OperationFilter, State
from tests.unit.journals.records import make_change, make_claim, make_settlement, settle

ALL = ChangeFilter()
EVIDENCE = {"at": 103.0, "what": "outcome_unknown", "hits": None}


def publish(journal: Journal, number: int) -> None:
    """Publish updates of the modules 0, 1 and so on."""
    for module in range(number):
        change = make_change(f"{module}", scope=f"{module % 2}")
        journal.begin_change(change)
        journal.end_change(change.id, Outcome.APPLIED, at=130.0 + module)
    assert journal.publish_changes(1000) == number


def outcomes(journal: Journal) -> list[tuple[str, str | None]]:
    journal.publish_changes(100)
    entries = journal.list_changes(ALL, after=0, limit=100).entries
    return [(entry.outcome.value, entry.module) for entry in entries]


@pytest.mark.parametrize(
    ("outcome", "is_free"),
    [(None, False), (Outcome.UNKNOWN, False), (Outcome.APPLIED, True), (Outcome.NOT_APPLIED, True)],
)
def test_a_module_is_held_until_its_change_has_a_known_outcome(
    journal: Journal, outcome: Outcome | None, *, is_free: bool
) -> None:
    """A second change of the module is not begun before; one of another module is."""
    first = make_change("m")
    assert journal.begin_change(first)
    if outcome:
        journal.end_change(first.id, outcome, at=121.0)
    assert journal.begin_change(make_change("m")) is is_free
    assert journal.begin_change(make_change("other"))


def test_a_released_module_can_be_changed(journal: Journal) -> None:
    """Held changes are returned as they were begun, with their outcome; a released one is not."""
    change = make_change("m", user="ann", fields={"owners": {"to": ["ann"]}})
    journal.begin_change(change)
    assert journal.held_changes() == [change]
    journal.end_change(change.id, Outcome.UNKNOWN, at=121.0)
    assert [held.outcome for held in journal.held_changes()] == [Outcome.UNKNOWN]
    journal.release_change(change.id)
    assert not journal.held_changes()
    assert journal.begin_change(make_change("m"))


def test_one_process_reads_a_change_back(journal: Journal) -> None:
    """A held change is leased once at its due time, first when its outcome becomes unknown."""
    change = make_change("m")
    journal.begin_change(change)
    assert not journal.lease_change(change.id, now=500.0, due_at=501.0), "its sender is alive"
    journal.end_change(change.id, Outcome.UNKNOWN, at=121.0)
    assert [journal.lease_change(change.id, now=121.0, due_at=122.0) for _ in range(2)] == [True, False]
    assert journal.lease_change(change.id, now=122.0, due_at=130.0)


@pytest.mark.parametrize(
    ("given", "published"),
    [
        ([Outcome.APPLIED], ["applied"]),
        ([Outcome.NOT_APPLIED, Outcome.APPLIED], ["not_applied"]),
        ([Outcome.UNKNOWN, Outcome.UNKNOWN], ["unknown"]),
        ([Outcome.UNKNOWN, Outcome.APPLIED, Outcome.UNKNOWN], ["unknown", "applied"]),
    ],
)
def test_each_verdict_is_an_entry(journal: Journal, given: Sequence[Outcome], published: list[str]) -> None:
    """A change is published with its outcome, and again when an unknown one becomes known; a known one stays."""
    change = make_change("m")
    journal.begin_change(change)
    assert outcomes(journal) == []
    for at, outcome in enumerate(given, 121):
        journal.end_change(change.id, outcome, at=at)
        outcomes(journal)
    assert outcomes(journal) == [(outcome, "m") for outcome in published]


@pytest.mark.parametrize(
    ("state", "adopted", "outcome"),
    [
        (State.SUCCEEDED, False, "applied"),
        (State.SUCCEEDED, True, "not_applied"),
        (State.REFUSED, False, "not_applied"),
        (State.NOT_APPLIED, False, "not_applied"),
        (State.AMBIGUOUS, False, "unknown"),
    ],
)
def test_creates_are_published_when_they_end(journal: Journal, state: State, outcome: str, *, adopted: bool) -> None:
    """The claim is the entry before the send; the outcome is published with the caller, the user and the fields."""
    claim = make_claim(draft={"user": "ann"})
    journal.claim(claim)
    assert journal.publish_changes(10) == 0
    module = {"module": {"adopted": adopted}, "module_id": "cmdb-main.2.7.1"} if state is State.SUCCEEDED else {}
    journal.settle(claim.id, make_settlement(state, **module))
    assert journal.publish_changes(10) == 1
    (entry,) = journal.list_changes(ALL, after=0, limit=10).entries
    assert (entry.outcome.value, entry.action, entry.at, entry.module) == (
        outcome,
        "create",
        105.0,
        module.get("module_id"),
    )
    assert (entry.backend, entry.scope, entry.caller, entry.user) == ("cmdb-main", "2", "deployer", "ann")
    assert (entry.request_id, entry.operation) == (claim.request_id, claim.id)
    assert entry.fields == {
        "name": {"from": None, "to": claim.draft["draft"]["name"]},
        "owners": {"from": None, "to": ["ann"]},
        "attributes.size": {"from": None, "to": 3},
    }


def test_a_lost_create_is_published_as_unknown_and_then_with_its_verdict(journal: Journal) -> None:
    """Both a marked create and one whose sender has died are entries before they are settled."""
    marked, dead = make_claim(), make_claim()
    for claim in (marked, dead):
        journal.claim(claim)
    journal.mark_unknown(marked.id, at=104.0, due_at=900.0, evidence=EVIDENCE)
    assert outcomes(journal) == [("unknown", None)]
    journal.lease_due("w", now=200.0, lease_seconds=5.0, horizon_seconds=1e9, except_backends=(), limit=5)
    assert outcomes(journal) == [("unknown", None)] * 2
    journal.settle(dead.id, make_settlement(State.NOT_APPLIED))
    assert outcomes(journal) == [("unknown", None)] * 2 + [("not_applied", None)]


@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_pages_of_the_log_join_without_a_gap(journal: Journal, page_size: int) -> None:
    """A reader that goes on from `next_after` sees each entry once, in the order of `seq`, also what is added later."""
    seen: list[int] = []
    after = 0
    for _ in range(3):
        publish(journal, 3)
        while (page := journal.list_changes(ALL, after=after, limit=page_size)).entries:
            seen += [entry.seq for entry in page.entries]
            after = page.next_after
    assert len(seen) == 9
    assert seen == sorted(set(seen))
    assert journal.list_changes(ALL, after=after, limit=1).next_after == after
    assert journal.list_changes(ALL, after=10**9, limit=1).next_after == after, "a number of another journal"


@pytest.mark.parametrize(
    ("values", "modules"),
    [
        ({}, ["0", "1", "2"]),
        ({"places": ()}, []),
        ({"places": (("cmdb-main", "1"), ("other", None))}, ["1"]),
        ({"places": (("cmdb-main", None),), "scope": "0"}, ["0", "2"]),
        ({"backend": "other"}, []),
        ({"module": "2"}, ["2"]),
    ],
)
def test_the_log_is_filtered(journal: Journal, values: dict[str, Any], modules: list[str]) -> None:
    """Only entries of the places and with the given values are returned; `next_after` skips the others."""
    publish(journal, 3)
    change_filter = ChangeFilter(**values)
    page = journal.list_changes(change_filter, after=0, limit=10)
    assert [entry.module for entry in page.entries] == modules
    assert page.next_after == journal.list_changes(ALL, after=0, limit=10).next_after
    everything = journal.list_changes(ALL, after=0, limit=10).entries
    assert [entry.module for entry in everything if change_filter.matches(entry)] == modules


def test_old_entries_are_deleted_a_few_at_a_time(journal: Journal) -> None:
    """The newest stays, so that a reader that has missed entries gets an error."""
    publish(journal, 4)
    assert [journal.expire_changes(published_before=131.5, limit=1) for _ in range(3)] == [1, 1, 0]
    assert journal.expire_changes(published_before=1e9, limit=10) == 1
    (last,) = journal.list_changes(ALL, after=0, limit=10).entries
    assert last.module == "3"
    with pytest.raises(ChangesExpired):
        journal.list_changes(ALL, after=last.seq - 2, limit=10)
    assert journal.list_changes(ALL, after=last.seq - 1, limit=10).entries == [last]
    publish(journal, 1)
    assert journal.list_changes(ALL, after=last.seq, limit=10).entries[0].seq > last.seq, "a number was used again"


CLAIMS: dict[str, dict[str, Any]] = {
    "1": {"caller": "a"},
    "2": {"caller": "b"},
    "3": {"caller": "b", "backend": "other"},
    "4": {"caller": "a", "draft": {"draft": {"scope": "9", "name": "n"}}},
    "5": {"caller": "b", "draft": {"draft": {"scope": "9", "name": "n"}}},
}


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        ({}, "41"),
        ({"places": [("cmdb-main", None)]}, "5421"),
        ({"places": [("cmdb-main", "9"), ("other", None)]}, "5431"),
        ({"places": [("cmdb-main", "9")], "backend": "other"}, ""),
        ({"places": [("cmdb-main", None), ("other", None)], "backend": "cmdb-main", "scope": "2"}, "21"),
        ({"states": [State.SENDING]}, "1"),
        ({"states": [State.REFUSED, State.SENDING], "places": [("cmdb-main", None)]}, "5421"),
        ({"states": [State.AMBIGUOUS]}, ""),
    ],
)
def test_operations_are_listed(journal: Journal, values: dict[str, Any], ids: str) -> None:
    """A caller sees its own operations and those of the places where it may operate, each once, the newest first."""
    for operation_id, fields in CLAIMS.items():
        journal.claim(make_claim(id=operation_id, natural_key=(operation_id,), **fields))
    for operation_id in ("2", "4", "5"):
        journal.settle(operation_id, make_settlement(State.REFUSED))
    operation_filter = OperationFilter(caller="a", **values)
    listed = journal.list_operations(operation_filter, before=None, limit=10)
    assert [operation.claim.id for operation in listed] == list(ids)
    assert listed == [journal.get(operation_id) for operation_id in ids]
    pages, before = [], None
    while page := journal.list_operations(operation_filter, before=before, limit=1):
        before = page[0].claim.id
        pages.append(before)
    assert pages == list(ids)


@pytest.mark.parametrize("state", State)
def test_only_an_unsettled_operation_is_resolved(journal: Journal, state: State) -> None:
    """A verdict settles an ambiguous or reconciling operation once, and is published."""
    claim = make_claim(idempotency_key="key")
    journal.claim(claim)
    if state is State.RECONCILING:
        journal.mark_unknown(claim.id, at=104.0, due_at=900.0, evidence=EVIDENCE)
    elif not state.is_active:
        journal.settle(claim.id, make_settlement(state))
    outcomes(journal)
    verdict = make_settlement(State.NOT_APPLIED, evidence={"at": 106.0, "what": "resolved:not_applied", "hits": []})
    is_resolvable = state in {State.RECONCILING, State.AMBIGUOUS}
    assert [journal.resolve(claim.id, verdict) for _ in range(2)] == [is_resolvable, False]
    operation = journal.get(claim.id)
    assert operation is not None
    assert (operation.state is State.NOT_APPLIED) == (is_resolvable or state is State.NOT_APPLIED)
    if is_resolvable:
        assert operation.evidence[-1]["what"] == "resolved:not_applied"
        assert outcomes(journal)[-1] == ("not_applied", None)
        assert journal.claim(make_claim(idempotency_key="key")).match == "claimed"
        assert settle(journal, claim.id, make_settlement()) == operation, "the reconciler came later"


def test_lists_use_an_index(journal: Journal) -> None:
    """The pages of operations, the held changes and what is unpublished are found without reading the table."""
    statements: list[tuple[str, Any]] = []
    read = journal.read  # type: ignore[attr-defined]

    def record(statement: str, parameters: Any) -> Any:
        statements.append((statement, parameters))
        return read(statement, parameters)

    journal.read = record  # type: ignore[attr-defined]
    for values in ({}, {"places": [("b", None), ("c", "s")]}, {"states": [State.REFUSED, State.AMBIGUOUS]}):
        journal.list_operations(OperationFilter(caller="a", **values), before=None, limit=10)
    journal.held_changes()
    journal.publish_changes(10)
    journal.list_changes(ChangeFilter(module="m"), after=0, limit=10)
    for statement, parameters in statements:
        if not hasattr(journal, "_path"):  # PostgreSQL reads a small table as a whole
            continue
        plan = [row[3] for row in read(f"EXPLAIN QUERY PLAN {statement}", parameters)]
        assert not any(line.startswith("SCAN") and "INDEX" not in line and "CONSTANT" not in line for line in plan), (
            plan
        )


def test_one_process_publishes_at_a_time(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that does not get the lock publishes nothing."""
    change = make_change("m")
    journal.begin_change(change)
    journal.end_change(change.id, Outcome.APPLIED, at=121.0)
    monkeypatch.setattr(journal, "publisher_lock", "SELECT false")
    assert journal.publish_changes(10) == 0
    monkeypatch.undo()
    assert journal.publish_changes(10) == 1
