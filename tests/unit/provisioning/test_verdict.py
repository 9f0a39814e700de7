"""The verdict for every kind of evidence that a lookup can return."""

from __future__ import annotations

from collections.abc import Sequence
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


def operation(*, if_exists: str = "error", state: State = State.RECONCILING, **draft: Any) -> Operation:
    """Return a claimed create; `draft` may have `probed`, `acts_as` and `backend_time`, as a claim has them."""
    claim = Claim(
        id="op",
        backend="cmdb",
        natural_key=("1", "10", "x"),
        caller="c",
        idempotency_key=None,
        request_id="r",
        fingerprint="f",
        draft={"draft": draft_to_json(DRAFT), "if_exists": if_exists, "acts_as": "gateway", **draft},
        claimed_at=CLAIMED_AT,
        lease_until=CLAIMED_AT + 40.0,
        dedup_until=None,
        settle_seconds=130.0,
        worker_id="w",
    )
    return Operation(claim=claim, state=state)


def lookup(*hits: Module, observed_seconds: float = 1.0, known: Sequence[str] = ()) -> LookupResult:
    """Return a lookup; `known` are the native ids of modules that existed before, or that another create made."""
    return LookupResult(
        at=LOST_AT + observed_seconds,
        observed_seconds=observed_seconds,
        hits=hits,
        known_before=lambda module: module.native_id in known,
        clock_skew_seconds=300.0,
    )


def created(seconds: float, created_by: str | None = None) -> Module:
    """Return the module with a creation time so many seconds after the claim."""
    return replace(HIT, created_at=datetime.fromtimestamp(CLAIMED_AT + seconds, UTC), created_by=created_by)


def as_settlement(verdict: Settlement | Retry) -> Settlement:
    assert isinstance(verdict, Settlement)
    return verdict


@pytest.mark.parametrize(
    ("hit", "draft", "confidence"),
    [
        pytest.param(HIT, {}, "medium", id="dated after the claim, by the acting user"),
        pytest.param(HIT, {"backend_time": CLAIMED_AT}, "high", id="dated after a time on the backend's own clock"),
        pytest.param(HIT, {"acts_as": None}, "medium", id="no known acting user"),
        pytest.param(UNDATED, {}, "medium", id="undated and not seen before"),
        pytest.param(UNDATED, {"probed": True}, "high", id="undated, and looked up before the create"),
        pytest.param(UNDATED, {"backend_time": CLAIMED_AT}, "medium", id="undated on a connection that was measured"),
        pytest.param(created(-90.0), {"backend_time": CLAIMED_AT - 92.0}, "high", id="90 s behind, measured"),
        pytest.param(created(-90.0, "gateway"), {}, "medium", id="90 s behind, by the acting user"),
        pytest.param(created(-1.9), {}, "medium", id="a rounded creation time"),
    ],
)
def test_new_equal_module_is_the_result(hit: Module, draft: dict[str, Any], confidence: str) -> None:
    """One module that is equal and new settles the create as a success, with a confidence."""
    verdict = as_settlement(decide(operation(**draft), DRAFT, lookup(hit)))
    assert verdict.state is State.SUCCEEDED
    assert verdict.module_id == "cmdb.1.10.7"
    assert verdict.evidence == {"at": LOST_AT + 1.0, "what": "found", "hits": ["7"], "confidence": confidence}


@pytest.mark.parametrize(
    ("hit", "draft", "known"),
    [
        pytest.param(created(-301.0), {}, (), id="older by more than clocks may differ"),
        pytest.param(created(-40.0), {"backend_time": CLAIMED_AT - 2.0}, (), id="40 s older, measured"),
        pytest.param(created(-3.0), {"backend_time": CLAIMED_AT - 2.0}, (), id="3 s older, measured"),
        pytest.param(replace(HIT, created_by="another"), {}, (), id="created by another user"),
        pytest.param(HIT, {}, ("7",), id="made by another create, or seen before the claim"),
        pytest.param(UNDATED, {}, ("7",), id="undated and seen before the claim"),
    ],
)
def test_module_of_another_has_taken_the_name(hit: Module, draft: dict[str, Any], known: Sequence[str]) -> None:
    """One module that provably was not made by this create proves that the name was taken: refused, with its id."""
    verdict = as_settlement(decide(operation(**draft), DRAFT, lookup(hit, known=known)))
    assert verdict.state is State.REFUSED
    assert (verdict.error or {})["code"] == "module_already_exists"
    assert (verdict.error or {})["existing"] == "cmdb.1.10.7"


@pytest.mark.parametrize("if_exists", ["error", "adopt"])
@pytest.mark.parametrize(
    ("hit", "draft"),
    [
        pytest.param(created(-40.0), {}, id="40 s older, not measured"),
        pytest.param(created(-3.0), {}, id="3 s older, not measured"),
        pytest.param(created(-90.0, "gateway"), {"acts_as": None}, id="90 s older, no known acting user"),
        pytest.param(replace(HIT, owners=(Owner("tom"),)), {}, id="other owners"),
        pytest.param(replace(HIT, attributes={"bk_module_type": "2"}), {}, id="another attribute"),
    ],
)
def test_module_of_uncertain_origin_is_ambiguous(hit: Module, draft: dict[str, Any], if_exists: str) -> None:
    """Without a proof either way a person decides; it is never reported as created, nor as not applied."""
    verdict = as_settlement(decide(operation(if_exists=if_exists, **draft), DRAFT, lookup(hit, observed_seconds=500.0)))
    assert verdict.state is State.AMBIGUOUS
    assert (verdict.evidence or {})["what"] == "origin_uncertain"


def test_lost_adoption_succeeds() -> None:
    """With if_exists=adopt, an existing equal module is the result, and is marked as adopted."""
    verdict = as_settlement(decide(operation(if_exists="adopt"), DRAFT, lookup(HIT, known=["7"])))
    assert (verdict.state, verdict.module_id) == (State.SUCCEEDED, "cmdb.1.10.7")
    assert (verdict.module or {})["adopted"] is True


def test_lost_adoption_of_a_different_module_is_refused() -> None:
    """With if_exists=adopt, an existing module with other values is refused with the differences."""
    other = replace(HIT, owners=(Owner("tom"),))
    verdict = as_settlement(decide(operation(if_exists="adopt"), DRAFT, lookup(other, known=["7"])))
    assert verdict.state is State.REFUSED
    assert (verdict.error or {})["code"] == "module_exists_differently"
    assert (verdict.error or {})["diff"] == {"/owners": {"wanted": ["admin"], "found": ["tom"]}}


_SECOND = replace(HIT, ref="1.10.8", native_id="8")


@pytest.mark.parametrize(
    ("second", "known", "state", "module_id", "what"),
    [
        pytest.param(_SECOND, (), State.AMBIGUOUS, None, "several_found", id="two that may be its own"),
        pytest.param(_SECOND, ("7",), State.SUCCEEDED, "cmdb.1.10.8", "found", id="one provably another's"),
        pytest.param(_SECOND, ("7", "8"), State.REFUSED, None, "found_another", id="both provably others'"),
        pytest.param(
            replace(_SECOND, owners=()), ("7",), State.AMBIGUOUS, None, "origin_uncertain", id="the other is uncertain"
        ),
        pytest.param(replace(_SECOND, owners=()), (), State.AMBIGUOUS, None, "several_found", id="one is uncertain"),
    ],
)
def test_several_modules(second: Module, known: Sequence[str], state: State, module_id: str | None, what: str) -> None:
    """Of several modules with one natural key, those that are provably others' are no candidates."""
    verdict = as_settlement(decide(operation(), DRAFT, lookup(HIT, second, known=known)))
    assert (verdict.state, verdict.module_id) == (state, module_id)
    evidence = verdict.evidence or {}
    assert (evidence["what"], evidence["hits"]) == (what, ["7", "8"])


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
    verdict = decide(operation(), DRAFT, lookup(observed_seconds=looked_up))
    assert isinstance(verdict, Retry)
    assert verdict.due_at == pytest.approx(LOST_AT + due)
    assert verdict.observed_seconds == looked_up
    assert verdict.evidence == {"at": LOST_AT + looked_up, "what": "nothing_found", "hits": []}


@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_nothing_found_after_the_window_is_not_applied(seconds: float) -> None:
    """A lookup that starts after the whole window was observed, and finds nothing, settles the create."""
    verdict = as_settlement(decide(operation(), DRAFT, lookup(observed_seconds=130.0 + seconds)))
    assert verdict.state is State.NOT_APPLIED


@pytest.mark.parametrize(("observed", "pause"), [(2.0, 1.0), (130.0, 20.0), (135.0, 20.0)])
def test_failed_lookup_proves_nothing(observed: float, pause: float) -> None:
    """It is repeated: on schedule within the window, and at a fixed interval after it."""
    verdict = lookup_failed(operation(), LOST_AT, observed, "backend_timeout")
    assert verdict.due_at == pytest.approx(LOST_AT + pause)
    assert verdict.observed_seconds == observed
    assert verdict.evidence["what"] == "look_failed:backend_timeout"


def test_create_that_is_being_sent_is_not_settled() -> None:
    """Its window has not started: a lookup that finds nothing settles nothing, however late it is."""
    verdict = decide(operation(state=State.SENDING), DRAFT, lookup(observed_seconds=500.0))
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


@pytest.mark.parametrize("origin", ["another's", "uncertain"])
def test_operation_whose_sender_may_be_alive_is_only_settled_by_its_success(origin: str) -> None:
    """A replica whose clock is ahead takes an operation over too early: until its lease is over, only OURS decides."""
    taken_over = replace(operation(), evidence=({"at": CLAIMED_AT, "what": "lease_expired", "hits": None},))
    hit = replace(UNDATED, owners=(Owner("other"),)) if origin == "uncertain" else UNDATED
    known = () if origin == "uncertain" else ("7",)
    early = decide(taken_over, DRAFT, lookup(hit, observed_seconds=39.0, known=known))
    assert isinstance(early, Retry)
    late = decide(taken_over, DRAFT, lookup(hit, observed_seconds=40.0, known=known))
    assert isinstance(late, Settlement)
    own = decide(taken_over, DRAFT, lookup(UNDATED, observed_seconds=1.0))
    assert isinstance(own, Settlement)
    assert own.state is State.SUCCEEDED


def test_old_module_of_the_acting_user_is_not_certainly_anothers() -> None:
    """A measured clock may be off; within the skew, the creator keeps the outcome open."""
    own = operation(backend_time=CLAIMED_AT)
    for seconds, expected in ((-5.0, State.AMBIGUOUS), (-301.0, State.REFUSED)):
        verdict = decide(own, DRAFT, lookup(created(seconds, "gateway")))
        assert isinstance(verdict, Settlement)
        assert verdict.state is expected
