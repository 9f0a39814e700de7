from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.journal import Journal
from gateway.domain.operation import ClaimResult, State
from gateway.journals import row_mapping
from tests.unit.journals.records import a_claim, an_end, sent

ENDS = [State.SUCCEEDED, State.AMBIGUOUS, State.REFUSED, State.NOT_APPLIED]
KEPT = {State.SUCCEEDED, State.AMBIGUOUS}
ODD = "\t\n\x01\x7f\x85\u2028\ufeff\ufffe e\u0301 é ß 模块 😀 '\"\\%s :name {x} $1 ?"


def test_a_claim_is_kept_whole(journal: Journal) -> None:
    """What was claimed can be read back, field by field."""
    claim = a_claim(idempotency_key="key")
    assert journal.claim(claim) == ClaimResult("claimed", sent(claim))
    assert journal.get(claim.id) == sent(claim)
    assert journal.get("nobody's") is None


def test_any_text_is_kept(journal: Journal) -> None:
    """Quotes, placeholders, controls, separators, halves of a composed letter and emoji come back as they went in."""
    texts = {"id", "backend", "caller", "idempotency_key", "request_id", "fingerprint", "worker_id"}
    claim = a_claim(natural_key=(ODD, "", ODD[::-1]), draft={ODD: [ODD, 1.5]}, **dict.fromkeys(texts, ODD))
    journal.claim(claim)
    journal.settle(ODD, an_end(module={ODD: ODD}, error={ODD: ODD}, evidence={"at": 1.0, "what": ODD, "hits": 0}))
    operation = journal.get(ODD)
    assert operation is not None
    assert operation.claim == claim
    assert (operation.module, operation.error) == ({ODD: ODD}, {ODD: ODD})
    assert operation.evidence == ({"at": 1.0, "what": ODD, "hits": 0},)


def test_names_may_be_long(journal: Journal) -> None:
    """Names of 20,000 characters that differ in the last one are different."""
    name = "名" * 20_000
    assert journal.claim(a_claim(natural_key=("2", name + "a"), idempotency_key=name)).match == "claimed"
    assert journal.claim(a_claim(natural_key=("2", name + "b"), idempotency_key=name + "b")).match == "claimed"
    assert journal.claim(a_claim(natural_key=("2", name + "b"))).match == "name"


SAME: dict[str, dict[str, Any]] = {
    "key": {"idempotency_key": "key"},
    "memory": {"request_id": "request", "fingerprint": "f"},
    "name": {"natural_key": ("2", "7", "same")},
}


@pytest.mark.parametrize("match", SAME)
def test_what_stands_in_the_way_is_returned(journal: Journal, match: str) -> None:
    """The same key, the same request or the same live name: the second claim gets the first operation, whole."""
    first = a_claim(**SAME[match])
    journal.claim(first)
    second = a_claim(**SAME[match])
    assert journal.claim(second) == ClaimResult(match, sent(first))  # type: ignore[arg-type]  # a Standing
    assert journal.get(second.id) is None


@pytest.mark.parametrize(
    ("names", "match"),
    [(["key", "name"], "key"), (["memory", "name"], "memory"), (["key", "memory", "name"], "key"), (["name"], "name")],
)
def test_key_memory_name_is_the_order(journal: Journal, names: list[str], match: str) -> None:
    """Where several operations stand in the way, a key counts before a memory and a memory before a name."""
    claims = {name: a_claim(**SAME[name]) for name in names}
    for claim in claims.values():
        journal.claim(claim)
    merged = {key: value for name in names for key, value in SAME[name].items()}
    found = journal.claim(a_claim(**merged))
    assert (found.match, found.operation.claim.id) == (match, claims[match].id)


@pytest.mark.parametrize("names", ["key", "memory"])
def test_another_caller_is_another_world(journal: Journal, names: str) -> None:
    """Somebody else's key, and somebody else's request id, are no obstacle."""
    journal.claim(a_claim(**SAME[names]))
    assert journal.claim(a_claim(caller="somebody else", **SAME[names])).match == "claimed"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"backend": "cmdb-other"}, "claimed"),
        ({"natural_key": ("2", "8", "same")}, "claimed"),
        ({"natural_key": ("27", "same")}, "claimed"),
        ({"caller": "somebody else"}, "name"),
    ],
)
def test_a_name_belongs_to_a_connection_and_a_scope(journal: Journal, changes: dict[str, Any], match: str) -> None:
    """A natural key is its parts and its connection; the caller does not matter."""
    journal.claim(a_claim(**SAME["name"]))
    assert journal.claim(a_claim(**SAME["name"] | changes)).match == match


@pytest.mark.parametrize(
    ("until", "claimed_at", "match"),
    [(700.0, 699.9, "memory"), (700.0, 700.0, "claimed"), (700.0, 900.0, "claimed"), (None, 100.0, "claimed")],
)
def test_a_memory_ends(journal: Journal, until: float | None, claimed_at: float, match: str) -> None:
    """A memory counts up to its end, not at it; without an end there is none."""
    journal.claim(a_claim(dedup_until=until, **SAME["memory"]))
    second = a_claim(claimed_at=claimed_at, dedup_until=claimed_at + 600.0, **SAME["memory"])
    assert journal.claim(second).match == match
    if match == "claimed":
        third = journal.claim(a_claim(claimed_at=claimed_at + 1, **SAME["memory"]))
        assert (third.match, third.operation.claim.id) == ("memory", second.id)


def test_who_has_no_memory_holds_none() -> None:
    """A claim with a key needs none: a digest less to make, and an index less to write into."""
    assert row_mapping.claim_params(a_claim(dedup_until=None))["holds_memory"] is None
    assert row_mapping.claim_params(a_claim(dedup_until=700.0))["holds_memory"] is not None


def test_with_a_key_no_memory_is_looked_for(journal: Journal) -> None:
    """A claim with a key goes past the memory of the same request, which stays with the first operation."""
    first, second = a_claim(**SAME["memory"]), a_claim(idempotency_key="key", **SAME["memory"])
    journal.claim(first)
    assert journal.claim(second) == ClaimResult("claimed", sent(second))
    found = journal.claim(a_claim(**SAME["memory"]))
    assert (found.match, found.operation.claim.id) == ("memory", first.id)


@pytest.mark.parametrize("end", ENDS)
def test_an_end_frees_names(journal: Journal, end: State) -> None:
    """Any end frees the name; key and memory stay after a success or an ambiguity and go after a refusal."""
    for names in SAME.values():
        claim = a_claim(**names)
        journal.claim(claim)
        journal.settle(claim.id, an_end(end))
    standings = {name: journal.claim(a_claim(**same)).match for name, same in SAME.items()}
    kept = {"key": "key", "memory": "memory"} if end in KEPT else {"key": "claimed", "memory": "claimed"}
    assert standings == {**kept, "name": "claimed"}


def test_claiming_again_is_claiming_once(journal: Journal) -> None:
    """A claim that is repeated, because nobody heard that it was written, is the same claim."""
    claim = a_claim(idempotency_key="key")
    journal.claim(claim)
    assert journal.claim(claim) == ClaimResult("claimed", sent(claim))
