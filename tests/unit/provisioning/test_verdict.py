"""The verdict for every kind of evidence that a lookup can return."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.module import Module, ModuleDraft, Owner
from gateway.domain.operation import Claim, Operation, Settlement, State
from gateway.provisioning.serialization import draft_to_json
from gateway.provisioning.verdict import (
    LOOKUP_SCHEDULE,
    LookupResult,
    Retry,
    decide,
    find_differences,
    lookup_failed,
)

CLAIMED_AT = 1_800_000_000.0
LOST_AT = CLAIMED_AT + 10.0
CLOSES_AT = LOST_AT + 130.0
DRAFT = ModuleDraft(scope="1", parent="10", name="x", owners=("admin",), attributes={"bk_module_type": "1"})
HIT = Module(
    backend="cmdb",
    ref="1.10.7",
    native_id="7",
    scope="1",
    parent="10",
    name="x",
    owners=(Owner("admin"),),
    attributes={"bk_module_type": "1"},
    created_at=datetime.fromtimestamp(CLAIMED_AT + 5.0, UTC),
    created_by="gateway",
)
UNDATED = replace(HIT, created_at=None, created_by=None)


def operation(*, probed: bool = False, if_exists: str = "error") -> Operation:
    claim = Claim(
        id="op",
        backend="cmdb",
        natural_key=("1", "10", "x"),
        caller="c",
        idempotency_key=None,
        request_id="r",
        fingerprint="f",
        draft={"draft": draft_to_json(DRAFT), "if_exists": if_exists, "probed": probed},
        claimed_at=CLAIMED_AT,
        lease_until=CLAIMED_AT + 40.0,
        dedup_until=None,
        settle_seconds=130.0,
        worker_id="w",
    )
    return Operation(claim=claim, state=State.RECONCILING, settles_at=CLOSES_AT)


def lookup(
    *hits: Module, at: float = LOST_AT + 1.0, known: bool = False, acting_user: str | None = "gateway"
) -> LookupResult:
    return LookupResult(at=at, hits=hits, known_before=lambda _module: known, acting_user=acting_user)


def as_settlement(verdict: Settlement | Retry) -> Settlement:
    assert isinstance(verdict, Settlement)
    return verdict


@pytest.mark.parametrize(
    ("hit", "conditions", "confidence"),
    [
        pytest.param(HIT, {}, "high", id="dated after the claim, by the acting user"),
        pytest.param(
            replace(HIT, created_at=datetime.fromtimestamp(CLAIMED_AT - 59.0, UTC)),
            {},
            "high",
            id="the backend's clock is behind",
        ),
        pytest.param(replace(HIT, created_by=None), {}, "high", id="an old version without a creator"),
        pytest.param(HIT, {"acting_user": None}, "high", id="no known acting user"),
        pytest.param(UNDATED, {}, "medium", id="undated and not seen before"),
    ],
)
def test_new_equal_module_is_the_result(hit: Module, conditions: dict[str, Any], confidence: str) -> None:
    """One module that is equal and new settles the create as a success, with a confidence."""
    verdict = as_settlement(decide(operation(), DRAFT, lookup(hit, **conditions)))
    assert verdict.state is State.SUCCEEDED
    assert verdict.module_id == "cmdb.1.10.7"
    assert verdict.evidence == {"at": LOST_AT + 1.0, "what": "found", "hits": ["7"], "confidence": confidence}


def test_probe_gives_high_confidence() -> None:
    """If the name was looked up before the create, an undated module counts as much as a dated one."""
    verdict = as_settlement(decide(operation(probed=True), DRAFT, lookup(UNDATED)))
    assert (verdict.evidence or {})["confidence"] == "high"


@pytest.mark.parametrize(
    ("hit", "conditions"),
    [
        pytest.param(
            replace(HIT, created_at=datetime.fromtimestamp(CLAIMED_AT - 61.0, UTC)), {}, id="older than the claim"
        ),
        pytest.param(HIT, {"acting_user": "another"}, id="created by another user"),
        pytest.param(HIT, {"known": True}, id="made by another create"),
        pytest.param(UNDATED, {"known": True}, id="seen before the claim"),
        pytest.param(replace(HIT, owners=(Owner("tom"),)), {}, id="other owners"),
        pytest.param(replace(HIT, attributes={"bk_module_type": "2"}), {}, id="another attribute"),
    ],
)
def test_any_other_module_has_taken_the_name(hit: Module, conditions: dict[str, Any]) -> None:
    """One module that is older, another caller's or different proves that the name was taken: refused, with its id."""
    verdict = as_settlement(decide(operation(), DRAFT, lookup(hit, **conditions)))
    assert verdict.state is State.REFUSED
    assert (verdict.error or {})["code"] == "module_already_exists"
    assert (verdict.error or {})["existing"] == "cmdb.1.10.7"


def test_lost_adoption_succeeds() -> None:
    """With if_exists=adopt, an existing equal module is the result, and is marked as adopted."""
    verdict = as_settlement(decide(operation(if_exists="adopt"), DRAFT, lookup(HIT, known=True)))
    assert (verdict.state, verdict.module_id) == (State.SUCCEEDED, "cmdb.1.10.7")
    assert (verdict.module or {})["adopted"] is True


def test_lost_adoption_of_a_different_module_is_refused() -> None:
    """With if_exists=adopt, an existing module with other values is refused with the differences."""
    other = replace(HIT, owners=(Owner("tom"),))
    verdict = as_settlement(decide(operation(if_exists="adopt"), DRAFT, lookup(other)))
    assert verdict.state is State.REFUSED
    assert (verdict.error or {})["code"] == "module_exists_differently"
    assert (verdict.error or {})["diff"] == {"/owners": {"wanted": ["admin"], "found": ["tom"]}}


def test_several_modules_are_ambiguous() -> None:
    """Two modules with one natural key need a manual decision."""
    verdict = as_settlement(decide(operation(), DRAFT, lookup(HIT, replace(HIT, ref="1.10.8", native_id="8"))))
    assert verdict.state is State.AMBIGUOUS
    assert (verdict.evidence or {})["hits"] == ["7", "8"]


@pytest.mark.parametrize(
    ("looked_up", "due"),
    [
        *((seconds - 0.01, seconds) for seconds in LOOKUP_SCHEDULE),
        (LOOKUP_SCHEDULE[0], LOOKUP_SCHEDULE[1]),
        (60.0, 130.0),
        (129.99, 130.0),
    ],
)
def test_nothing_is_settled_before_the_window_closes(looked_up: float, due: float) -> None:
    """If nothing is found, the next lookup of the schedule is due, the last one when the window closes."""
    verdict = decide(operation(), DRAFT, lookup(at=LOST_AT + looked_up))
    assert isinstance(verdict, Retry)
    assert verdict.due_at == pytest.approx(LOST_AT + due)
    assert verdict.evidence == {"at": LOST_AT + looked_up, "what": "nothing_found", "hits": []}


@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_nothing_found_after_the_window_is_not_applied(seconds: float) -> None:
    """A lookup that starts after the window closed and finds nothing settles the create."""
    assert as_settlement(decide(operation(), DRAFT, lookup(at=CLOSES_AT + seconds))).state is State.NOT_APPLIED


@pytest.mark.parametrize(
    ("at", "due_at"),
    [(LOST_AT + 2.0, LOST_AT + 3.0), (CLOSES_AT, CLOSES_AT + 20.0), (CLOSES_AT + 5.0, CLOSES_AT + 25.0)],
)
def test_failed_lookup_proves_nothing(at: float, due_at: float) -> None:
    """It is repeated: on schedule within the window, and at a fixed interval after it."""
    verdict = lookup_failed(operation(), at, "backend_timeout")
    assert verdict.due_at == pytest.approx(due_at)
    assert verdict.evidence["what"] == "look_failed:backend_timeout"


def test_operation_without_a_window_is_not_settled() -> None:
    """A lookup that finds nothing settles nothing as long as the settle window has not started."""
    verdict = decide(replace(operation(), settles_at=None), DRAFT, lookup(at=LOST_AT))
    assert isinstance(verdict, Retry)
    assert verdict.due_at > LOST_AT


_LOCAL, _UTC = "2022-02-22 20:25:19", "2022-02-22T12:25:19Z"


@pytest.mark.parametrize(
    ("draft", "module", "pointers"),
    [
        ({}, {}, set()),
        ({}, {"description": "x", "owners": (Owner("a"),), "attributes": {"b": 1}}, set()),
        ({"parent": "10"}, {"parent": "11"}, {"/parent"}),
        ({"parent": None}, {"parent": "11"}, set()),
        ({"description": "a"}, {"description": "b"}, {"/description"}),
        ({"description": "a"}, {"description": None, "unavailable": ("description",)}, set()),
        ({"owners": ("a", "b")}, {"owners": (Owner("b"), Owner("a", "A"))}, set()),
        ({"owners": ("a",)}, {"owners": (Owner("a"), Owner("a"))}, set()),
        ({"owners": ()}, {"owners": (Owner("a"),)}, {"/owners"}),
        ({"owners": ("a",)}, {"unavailable": ("owners",)}, set()),
        ({"attributes": {"a": 1, "b": 2}}, {"attributes": {"a": 1, "b": 3, "c": 4}}, {"/attributes/b"}),
        ({"attributes": {"a": 1}}, {}, {"/attributes/a"}),
        ({"attributes": {"a": 1}}, {"unavailable": ("attributes",)}, set()),
        ({"attributes": {"a": ""}}, {"attributes": {"a": None}}, set()),
        ({"attributes": {"a": ""}}, {"attributes": {"a": "x"}}, {"/attributes/a"}),
        ({"attributes": {"a": 0}}, {"attributes": {"a": None}}, {"/attributes/a"}),
        ({"attributes": {"a": _LOCAL}}, {"attributes": {"a": _UTC}}, set()),
        ({"attributes": {"a": f"{_LOCAL}+08:00"}}, {"attributes": {"a": _UTC}}, set()),
        ({"attributes": {"a": f"{_LOCAL}+01:00"}}, {"attributes": {"a": _UTC}}, {"/attributes/a"}),
        ({"attributes": {"a": "20220222"}}, {"attributes": {"a": "20220223"}}, {"/attributes/a"}),
        ({"description": ""}, {"description": None}, set()),
        ({"name": "Demo"}, {"name": "demo"}, {"/name"}),
    ],
)
def test_find_differences(draft: dict[str, Any], module: dict[str, Any], pointers: set[str]) -> None:
    """Fields that are not given or cannot be read do not differ, nor do other spellings of one value."""
    fields = {"scope": "1", "parent": None, "name": "demo"}
    differences = find_differences(
        ModuleDraft(**{**fields, **draft}), Module(backend="cmdb", ref="1", native_id="1", **{**fields, **module})
    )
    assert differences.keys() == pointers
