from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.errors import Outcome
from gateway.domain.journal import Journal
from gateway.domain.operation import ClaimResult, State
from gateway.journals import row_mapping
from tests.unit.journals.records import make_change, make_claim, make_settlement, sending_operation

FINAL_STATES = [State.SUCCEEDED, State.AMBIGUOUS, State.REFUSED, State.NOT_APPLIED]
DEDUPLICATED_STATES = {State.SUCCEEDED, State.AMBIGUOUS}
UNUSUAL_TEXT = "\t\n\x01\x7f\x85\u2028\ufeff\ufffe e\u0301 é ß 模块 😀 '\"\\%s :name {x} $1 ?"


def test_claim_is_stored_completely(journal: Journal) -> None:
    """Every field of a claim is read back unchanged."""
    claim = make_claim(idempotency_key="key")
    assert journal.claim(claim) == ClaimResult("claimed", sending_operation(claim))
    assert journal.get(claim.id) == sending_operation(claim)
    assert journal.get("unknown") is None


def test_any_text_is_stored_unchanged(journal: Journal) -> None:
    """Quotes, placeholders, control characters, separators, combining characters and emoji are read back unchanged."""
    texts = {"id", "backend", "caller", "idempotency_key", "request_id", "fingerprint", "worker_id"}
    claim = make_claim(
        natural_key=(UNUSUAL_TEXT, "", UNUSUAL_TEXT[::-1]),
        draft={UNUSUAL_TEXT: [UNUSUAL_TEXT, 1.5]},
        **dict.fromkeys(texts, UNUSUAL_TEXT),
    )
    journal.claim(claim)
    journal.settle(
        UNUSUAL_TEXT,
        make_settlement(
            module={UNUSUAL_TEXT: UNUSUAL_TEXT},
            error={UNUSUAL_TEXT: UNUSUAL_TEXT},
            evidence={"at": 1.0, "what": UNUSUAL_TEXT, "hits": 0},
        ),
    )
    operation = journal.get(UNUSUAL_TEXT)
    assert operation is not None
    assert operation.claim == claim
    assert (operation.module, operation.error) == ({UNUSUAL_TEXT: UNUSUAL_TEXT}, {UNUSUAL_TEXT: UNUSUAL_TEXT})
    assert operation.evidence == ({"at": 1.0, "what": UNUSUAL_TEXT, "hits": 0},)


def test_long_names_are_compared_completely(journal: Journal) -> None:
    """Names of 20,000 characters that differ in the last one are different."""
    name = "名" * 20_000
    assert journal.claim(make_claim(natural_key=("2", name + "a"), idempotency_key=name)).match == "claimed"
    assert journal.claim(make_claim(natural_key=("2", name + "b"), idempotency_key=name + "b")).match == "claimed"
    assert journal.claim(make_claim(natural_key=("2", name + "b"))).match == "name"


IDENTITIES: dict[str, dict[str, Any]] = {
    "key": {"idempotency_key": "key"},
    "memory": {"request_id": "request", "fingerprint": "f"},
    "name": {"natural_key": ("2", "7", "same")},
}


@pytest.mark.parametrize("match", IDENTITIES)
def test_a_conflict_is_found_without_a_claim(journal: Journal, match: str) -> None:
    """`find_conflict` returns what `claim` would return, and stores nothing; a void request is no conflict."""
    first, second = make_claim(**IDENTITIES[match]), make_claim(**IDENTITIES[match])
    assert journal.find_conflict(first) is None
    assert journal.get(first.id) is None
    journal.claim(first)
    assert journal.find_conflict(second) == ClaimResult(match, sending_operation(first))  # type: ignore[arg-type]  # ClaimMatch
    assert journal.find_conflict(first) == ClaimResult("claimed", sending_operation(first))
    journal.settle(first.id, make_settlement(module_id="cmdb-main.1"))
    journal.begin_change(change := make_change("cmdb-main.1"))
    journal.end_change(change.id, Outcome.APPLIED, at=1.0)
    found = journal.find_conflict(second)
    assert (found and found.match) == ("key" if match == "key" else None)
    assert journal.get(second.id) is None


@pytest.mark.parametrize("match", IDENTITIES)
def test_conflicting_operation_is_returned(journal: Journal, match: str) -> None:
    """A claim with the key, the request or the name of an active operation returns that complete operation."""
    first = make_claim(**IDENTITIES[match])
    journal.claim(first)
    second = make_claim(**IDENTITIES[match])
    assert journal.claim(second) == ClaimResult(match, sending_operation(first))  # type: ignore[arg-type]  # ClaimMatch
    assert journal.get(second.id) is None


@pytest.mark.parametrize(
    ("names", "match"),
    [(["key", "name"], "key"), (["memory", "name"], "memory"), (["key", "memory", "name"], "key"), (["name"], "name")],
)
def test_key_precedes_request_and_request_precedes_name(journal: Journal, names: list[str], match: str) -> None:
    """If several operations conflict, a key match is returned before a request match, and that before a name match."""
    claims = {name: make_claim(**IDENTITIES[name]) for name in names}
    for claim in claims.values():
        journal.claim(claim)
    merged = {key: value for name in names for key, value in IDENTITIES[name].items()}
    existing = journal.claim(make_claim(**merged))
    assert (existing.match, existing.operation.claim.id) == (match, claims[match].id)


@pytest.mark.parametrize("names", ["key", "memory"])
@pytest.mark.parametrize("changes", [{"caller": "other"}, {"draft": {"credential": "b"}}, {"draft": {}}])
def test_keys_and_requests_are_separate_for_each_requester(
    journal: Journal, names: str, changes: dict[str, Any]
) -> None:
    """The key or request id of another caller, or of the same caller with another credential, does not conflict."""
    identity = {"draft": {"credential": "a"}, **IDENTITIES[names]}
    journal.claim(make_claim(**identity))
    assert journal.claim(make_claim(**identity | changes)).match == "claimed"
    assert journal.claim(make_claim(**identity)).match == names


def test_requester_is_caller_acting_user_and_credential() -> None:
    """A claim without acting user and credential has none; each of the three makes another requester."""
    drafts: list[dict[str, Any]] = [{}, {"acts_as": "ann"}, {"credential": "a"}, {"acts_as": "ann", "credential": "a"}]
    requesters = [make_claim(draft=draft).requester for draft in drafts]
    assert requesters[0] == ("deployer", None, None)
    assert len({*requesters, make_claim(caller="other", draft={}).requester}) == 5
    assert requesters[-1] == make_claim(draft=drafts[-1] | {"name": "another"}).requester


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"backend": "cmdb-other"}, "claimed"),
        ({"natural_key": ("2", "8", "same")}, "claimed"),
        ({"natural_key": ("27", "same")}, "claimed"),
        ({"caller": "other"}, "name"),
        ({"draft": {"credential": "other"}}, "name"),
    ],
)
def test_name_is_unique_in_its_backend_and_scope(journal: Journal, changes: dict[str, Any], match: str) -> None:
    """Names conflict if the backend and every part of the natural key are equal, also for other requesters."""
    journal.claim(make_claim(**IDENTITIES["name"]))
    assert journal.claim(make_claim(**IDENTITIES["name"] | changes)).match == match


@pytest.mark.parametrize(
    ("dedup_until", "claimed_at", "match"),
    [(700.0, 699.9, "memory"), (700.0, 700.0, "claimed"), (700.0, 900.0, "claimed"), (None, 100.0, "claimed")],
)
def test_request_deduplication_ends(journal: Journal, dedup_until: float | None, claimed_at: float, match: str) -> None:
    """A request is deduplicated before `dedup_until`, not at it; without `dedup_until` it is not deduplicated."""
    journal.claim(make_claim(dedup_until=dedup_until, **IDENTITIES["memory"]))
    second = make_claim(claimed_at=claimed_at, dedup_until=claimed_at + 600.0, **IDENTITIES["memory"])
    assert journal.claim(second).match == match
    if match == "claimed":
        third = journal.claim(make_claim(claimed_at=claimed_at + 1, **IDENTITIES["memory"]))
        assert (third.match, third.operation.claim.id) == ("memory", second.id)


def test_claim_without_deduplication_stores_no_request_digest() -> None:
    """Without `dedup_until` the request digest is neither computed nor indexed."""
    assert row_mapping.claim_params(make_claim(dedup_until=None))["holds_memory"] is None
    assert row_mapping.claim_params(make_claim(dedup_until=700.0))["holds_memory"] is not None


def test_claim_with_a_key_ignores_request_deduplication(journal: Journal) -> None:
    """A claim with a key does not match the same request, which still leads to the first operation."""
    first, second = make_claim(**IDENTITIES["memory"]), make_claim(idempotency_key="key", **IDENTITIES["memory"])
    journal.claim(first)
    assert journal.claim(second) == ClaimResult("claimed", sending_operation(second))
    existing = journal.claim(make_claim(**IDENTITIES["memory"]))
    assert (existing.match, existing.operation.claim.id) == ("memory", first.id)


@pytest.mark.parametrize("state", FINAL_STATES)
def test_settlement_frees_the_name(journal: Journal, state: State) -> None:
    """Every final state frees the name. Key and request match after succeeded or ambiguous, not after a refusal."""
    for identity in IDENTITIES.values():
        claim = make_claim(**identity)
        journal.claim(claim)
        journal.settle(claim.id, make_settlement(state))
    matches = {name: journal.claim(make_claim(**identity)).match for name, identity in IDENTITIES.items()}
    expected = (
        {"key": "key", "memory": "memory"} if state in DEDUPLICATED_STATES else {"key": "claimed", "memory": "claimed"}
    )
    assert matches == {**expected, "name": "claimed"}


def test_repeated_claim_is_idempotent(journal: Journal) -> None:
    """A claim repeated because the first confirmation was lost returns "claimed" again."""
    claim = make_claim(idempotency_key="key")
    journal.claim(claim)
    assert journal.claim(claim) == ClaimResult("claimed", sending_operation(claim))
