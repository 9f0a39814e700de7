"""Operations as rows: a mapping is stored as JSON, and evidence as one line of JSON per entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from gateway import json_codec
from gateway.domain.operation import Claim, Operation, Settlement, State

Row = Sequence[Any]

_DEDUPLICATED_STATES: Final = (State.SUCCEEDED, State.AMBIGUOUS)


def claim_params(claim: Claim) -> dict[str, Any]:
    """Return a claim as query parameters, with the digests of the names that it holds."""
    requester = [claim.caller] if claim.credential is None else [claim.caller, claim.credential]
    key, request = claim.idempotency_key, (claim.request_id, claim.fingerprint)
    return {
        "id": claim.id,
        "backend": claim.backend,
        "natural_key": _to_json(claim.natural_key),
        "caller": claim.caller,
        "idempotency_key": key,
        "request_id": claim.request_id,
        "fingerprint": claim.fingerprint,
        "draft": _to_json(dict(claim.draft)),
        "scope": claim.scope,
        "claimed_at": claim.claimed_at,
        "lease_until": claim.lease_until,
        "memory_until": claim.dedup_until,
        "settle_seconds": claim.settle_seconds,
        "owner": claim.worker_id,
        "holds_key": None if key is None else _digest(*requester, key),
        "holds_memory": None if key is not None or claim.dedup_until is None else _digest(*requester, *request),
        "holds_name": _digest(claim.backend, *claim.natural_key),
    }


def alias_params(claim: Claim, operation_id: str) -> dict[str, Any]:
    """Return the parameters of an alias: the key of a claim, or without a key its request, and an operation."""
    parameters = claim_params(claim)
    return {
        "digest": parameters["holds_key"] or parameters["holds_memory"],
        "operation_id": operation_id,
        "expires_at": None if claim.idempotency_key is not None else claim.dedup_until,
        "claimed_at": claim.claimed_at,
    }


def settlement_params(operation_id: str, settlement: Settlement) -> dict[str, Any]:
    """Return a settlement as query parameters."""
    return {
        "id": operation_id,
        "state": settlement.state.value,
        "module": _mapping_to_json(settlement.module),
        "module_id": settlement.module_id,
        "error": _mapping_to_json(settlement.error),
        "note": "" if settlement.evidence is None else evidence_line(settlement.evidence),
        "at": settlement.at,
        "remembered": settlement.state in _DEDUPLICATED_STATES,
    }


def evidence_line(evidence: Mapping[str, Any]) -> str:
    """Return an evidence entry as a line to append."""
    return _to_json(dict(evidence)) + "\n"


def ids_json(native_ids: Sequence[str]) -> str:
    """Return ids as a JSON array, unique and sorted, so that two writers of the same ids cannot deadlock."""
    return _to_json(sorted(set(native_ids)))


def new_operation(claim: Claim) -> Operation:
    """Return the operation of a claim that was just inserted."""
    return Operation(claim=claim, state=State.SENDING, due_at=claim.lease_until, updated_at=claim.claimed_at)


def operation_from_row(row: Row) -> Operation:
    """Return the operation in a row of queries.COLUMNS."""
    return Operation(
        claim=Claim(
            id=row[0],
            backend=row[1],
            natural_key=tuple(json_codec.loads(row[2])),
            caller=row[3],
            idempotency_key=row[4],
            request_id=row[5],
            fingerprint=row[6],
            draft=json_codec.loads(row[7]),
            claimed_at=float(row[8]),
            lease_until=float(row[9]),
            dedup_until=_to_float(row[10]),
            settle_seconds=float(row[11]),
            worker_id=row[12],
        ),
        state=State(row[13]),
        module=_mapping_from_json(row[14]),
        error=_mapping_from_json(row[15]),
        evidence=tuple(json_codec.loads(line) for line in row[16].split("\n")[:-1]),  # each line ends with one
        settles_at=_to_float(row[17]),
        due_at=_to_float(row[18]),
        lookups=row[19],
        updated_at=float(row[20]),
        observed_seconds=float(row[21] or 0.0),  # NULL until the first lookup
    )


def _to_json(document: Any) -> str:
    return json_codec.dumps(document).decode()


def _mapping_to_json(mapping: Mapping[str, Any] | None) -> str | None:
    return None if mapping is None else _to_json(dict(mapping))


def _mapping_from_json(text: str | None) -> Mapping[str, Any] | None:
    return None if text is None else json_codec.loads(text)


def _to_float(value: float | None) -> float | None:
    return None if value is None else float(value)  # SQLite's RETURNING returns 5 for 5.0


def _digest(*names: str) -> str:
    return sha256(json_codec.dumps(names)).hexdigest()
