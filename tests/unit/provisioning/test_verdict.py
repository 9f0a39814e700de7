"""What a look proves: every row of evidence and its verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.module import Module, ModuleDraft, Owner
from gateway.domain.operation import Claim, Operation, Settlement, State
from gateway.provisioning.serialization import draft_to_json
from gateway.provisioning.verdict import LOOKUP_SCHEDULE, LookupResult, Retry, decide, lookup_failed

CLAIMED = 1_800_000_000.0
LOST = CLAIMED + 10.0
CLOSES = LOST + 130.0
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
    created_at=datetime.fromtimestamp(CLAIMED + 5.0, UTC),
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
        claimed_at=CLAIMED,
        lease_until=CLAIMED + 40.0,
        dedup_until=None,
        settle_seconds=130.0,
        worker_id="o",
    )
    return Operation(claim=claim, state=State.RECONCILING, settles_at=CLOSES)


def look(
    *hits: Module, at: float = LOST + 1.0, known: bool = False, acting_user: str | None = "gateway"
) -> LookupResult:
    return LookupResult(at=at, hits=hits, known_before=lambda _module: known, acting_user=acting_user)


def settled(verdict: Settlement | Retry) -> Settlement:
    assert isinstance(verdict, Settlement)
    return verdict


@pytest.mark.parametrize(
    ("hit", "conditions", "confidence"),
    [
        pytest.param(HIT, {}, "high", id="dated after the claim, by us"),
        pytest.param(
            replace(HIT, created_at=datetime.fromtimestamp(CLAIMED - 59.0, UTC)), {}, "high", id="their clock is behind"
        ),
        pytest.param(replace(HIT, created_by=None), {}, "high", id="an old version does not say by whom"),
        pytest.param(HIT, {"acting_user": None}, "high", id="we do not know who we are there"),
        pytest.param(UNDATED, {}, "medium", id="undated, and never seen before"),
    ],
)
def test_a_new_equal_module_is_ours(hit: Module, conditions: dict[str, Any], confidence: str) -> None:
    """One module, equal and new, settles the create as a success, with how sure that is."""
    verdict = settled(decide(operation(), DRAFT, look(hit, **conditions)))
    assert verdict.state is State.SUCCEEDED
    assert verdict.module_id == "cmdb.1.10.7"
    assert verdict.evidence == {"at": LOST + 1.0, "what": "found", "hits": ["7"], "confidence": confidence}


def test_a_probe_makes_sure() -> None:
    """Where the name had been looked for before the claim, an undated module is as good as a dated one."""
    verdict = settled(decide(operation(probed=True), DRAFT, look(UNDATED)))
    assert (verdict.evidence or {})["confidence"] == "high"


@pytest.mark.parametrize(
    ("hit", "conditions"),
    [
        pytest.param(
            replace(HIT, created_at=datetime.fromtimestamp(CLAIMED - 61.0, UTC)), {}, id="older than the claim"
        ),
        pytest.param(HIT, {"acting_user": "somebody"}, id="signed by another user"),
        pytest.param(HIT, {"known": True}, id="another create's work"),
        pytest.param(UNDATED, {"known": True}, id="seen before the claim"),
        pytest.param(replace(HIT, owners=(Owner("tom"),)), {}, id="other owners"),
        pytest.param(replace(HIT, attributes={"bk_module_type": "2"}), {}, id="another attribute"),
    ],
)
def test_any_other_module_is_somebody_elses(hit: Module, conditions: dict[str, Any]) -> None:
    """One module that is old, another's or different proves that the name was taken: refused, and by whom."""
    verdict = settled(decide(operation(), DRAFT, look(hit, **conditions)))
    assert verdict.state is State.REFUSED
    assert (verdict.error or {})["code"] == "module_already_exists"
    assert (verdict.error or {})["existing"] == "cmdb.1.10.7"


def test_a_lost_adoption_is_settled_as_one() -> None:
    """With if_exists=adopt, the module that was there and is equal is the result, and is told as adopted."""
    verdict = settled(decide(operation(if_exists="adopt"), DRAFT, look(HIT, known=True)))
    assert (verdict.state, verdict.module_id) == (State.SUCCEEDED, "cmdb.1.10.7")
    assert (verdict.module or {})["adopted"] is True


def test_a_lost_adoption_of_a_different_module_is_refused() -> None:
    """With if_exists=adopt, another's module with other values is refused with what differs."""
    other = replace(HIT, owners=(Owner("tom"),))
    verdict = settled(decide(operation(if_exists="adopt"), DRAFT, look(other)))
    assert verdict.state is State.REFUSED
    assert (verdict.error or {})["code"] == "module_exists_differently"
    assert (verdict.error or {})["diff"] == {"/owners": {"wanted": ["admin"], "found": ["tom"]}}


def test_several_are_for_a_person() -> None:
    """Two modules under one natural key are never guessed about."""
    verdict = settled(decide(operation(), DRAFT, look(HIT, replace(HIT, ref="1.10.8", native_id="8"))))
    assert verdict.state is State.AMBIGUOUS
    assert (verdict.evidence or {})["hits"] == ["7", "8"]


@pytest.mark.parametrize(
    ("asked", "again"),
    [
        *((seconds - 0.01, seconds) for seconds in LOOKUP_SCHEDULE),
        (LOOKUP_SCHEDULE[0], LOOKUP_SCHEDULE[1]),
        (60.0, 130.0),
        (129.99, 130.0),
    ],
)
def test_nothing_found_is_no_verdict_before_the_window_closes(asked: float, again: float) -> None:
    """Until then the next look of the schedule is due, the last one when the window closes."""
    verdict = decide(operation(), DRAFT, look(at=LOST + asked))
    assert isinstance(verdict, Retry)
    assert verdict.due_at == pytest.approx(LOST + again)
    assert verdict.evidence == {"at": LOST + asked, "what": "nothing_found", "hits": []}


@pytest.mark.parametrize("late", [0.0, 1000.0])
def test_nothing_found_after_the_window_is_not_applied(late: float) -> None:
    """A look asked when the window has closed, and that finds nothing, ends it."""
    assert settled(decide(operation(), DRAFT, look(at=CLOSES + late))).state is State.NOT_APPLIED


@pytest.mark.parametrize(
    ("at", "again"), [(LOST + 2.0, LOST + 3.0), (CLOSES, CLOSES + 20.0), (CLOSES + 5.0, CLOSES + 25.0)]
)
def test_silence_proves_nothing(at: float, again: float) -> None:
    """A look that failed is repeated: on schedule within the window, steadily after it, for as long as it takes."""
    verdict = lookup_failed(operation(), at, "backend_timeout")
    assert verdict.due_at == pytest.approx(again)
    assert verdict.evidence["what"] == "look_failed:backend_timeout"


def test_an_operation_without_a_window_looks_on() -> None:
    """One whose window nobody has opened yet is not settled by a look that finds nothing."""
    verdict = decide(replace(operation(), settles_at=None), DRAFT, look(at=LOST))
    assert isinstance(verdict, Retry)
    assert verdict.due_at > LOST
