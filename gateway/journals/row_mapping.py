"""Operations as rows: what is a mapping in the domain is JSON in a column, and evidence one line of JSON a piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from gateway import json_codec
from gateway.domain.operation import Claim, Operation, Settlement, State

Row = Sequence[Any]

_REMEMBERED: Final = (State.SUCCEEDED, State.AMBIGUOUS)


def write_claim(claim: Claim) -> dict[str, Any]:
    """Return a claim as parameters, and the names that it holds."""
    return {
        "id": claim.id,
        "backend": claim.backend,
        "natural_key": _dump(claim.natural_key),
        "caller": claim.caller,
        "idempotency_key": claim.idempotency_key,
        "request_id": claim.request_id,
        "fingerprint": claim.fingerprint,
        "draft": _dump(dict(claim.draft)),
        "claimed_at": claim.claimed_at,
        "lease_until": claim.lease_until,
        "memory_until": claim.dedup_until,
        "settle_seconds": claim.settle_seconds,
        "owner": claim.worker_id,
        "holds_key": None if claim.idempotency_key is None else _digest(claim.caller, claim.idempotency_key),
        "holds_memory": None
        if claim.dedup_until is None
        else _digest(claim.caller, claim.request_id, claim.fingerprint),
        "holds_name": _digest(claim.backend, *claim.natural_key),
    }


def write_settlement(operation_id: str, settlement: Settlement) -> dict[str, Any]:
    """Return a settlement as parameters."""
    return {
        "id": operation_id,
        "state": settlement.state.value,
        "module": _write(settlement.module),
        "module_id": settlement.module_id,
        "error": _write(settlement.error),
        "note": "" if settlement.evidence is None else write_note(settlement.evidence),
        "at": settlement.at,
        "remembered": settlement.state in _REMEMBERED,
    }


def write_result(operation: Operation, module_id: str) -> dict[str, Any]:
    """Return what became of an operation that succeeded, for another one to have the same."""
    return {"module": _write(operation.module), "module_id": module_id, "at": operation.updated_at}


def write_note(evidence: Mapping[str, Any]) -> str:
    """Return one piece of evidence as a line to append."""
    return _dump(dict(evidence)) + "\n"


def write_ids(native_ids: Sequence[str]) -> str:
    """Return ids as a list, each once; in order, so that two writers of the same ids cannot wait for each other."""
    return _dump(sorted(set(native_ids)))


def fresh(claim: Claim) -> Operation:
    """Return the operation that a claim has just become."""
    return Operation(claim=claim, state=State.SENDING, due_at=claim.lease_until, updated_at=claim.claimed_at)


def read_operation(row: Row) -> Operation:
    """Return the operation of a row of statements.COLUMNS."""
    return Operation(
        claim=Claim(
            id=row[0],
            backend=row[1],
            natural_key=tuple(json_codec.read(row[2])),
            caller=row[3],
            idempotency_key=row[4],
            request_id=row[5],
            fingerprint=row[6],
            draft=json_codec.read(row[7]),
            claimed_at=float(row[8]),
            lease_until=float(row[9]),
            dedup_until=_time(row[10]),
            settle_seconds=float(row[11]),
            worker_id=row[12],
        ),
        state=State(row[13]),
        module=_read(row[14]),
        error=_read(row[15]),
        evidence=tuple(json_codec.read(line) for line in row[16].split("\n")[:-1]),
        settles_at=_time(row[17]),
        due_at=_time(row[18]),
        lookups=row[19],
        updated_at=float(row[20]),
    )


def _dump(document: Any) -> str:
    return json_codec.write(document).decode()


def _write(mapping: Mapping[str, Any] | None) -> str | None:
    return None if mapping is None else _dump(dict(mapping))


def _read(text: str | None) -> Mapping[str, Any] | None:
    return None if text is None else json_codec.read(text)


def _time(value: float | None) -> float | None:
    return None if value is None else float(value)  # SQLite's RETURNING makes 5 of 5.0


def _digest(*names: str) -> str:
    return sha256(json_codec.write(names)).hexdigest()
