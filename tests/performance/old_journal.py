"""Fills a journal with the operations of a day, in a few transactions instead of two for each create."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from gateway.domain.module import Module, ModuleDraft, Owner
from gateway.domain.operation import Claim, State
from gateway.journals import queries, row_mapping
from gateway.journals.sqlite import SqliteJournal
from gateway.provisioning.provisioner import DEDUP_SECONDS
from gateway.provisioning.serialization import draft_to_json, fingerprint, module_to_json

_TRANSACTION_SIZE: Final = 20_000
#: Settled operations are kept for a day; these span half a day, so that none expires during the run.
_SPAN_SECONDS: Final = 12 * 3600.0
_NAME: Final = "old-model"


def fill(path: Path, count: int) -> None:
    """Write `count` succeeded creates, each a copy of a row as the gateway writes it."""
    journal, first, model = SqliteJournal(path), time.time() - _SPAN_SECONDS, _model()
    claim = queries.CLAIM.format(next_number=journal.next_number)
    for start in range(0, count, _TRANSACTION_SIZE):
        with journal._transaction() as execute:
            for number in range(start, min(start + _TRANSACTION_SIZE, count)):
                row = _copy(model, number, first + _SPAN_SECONDS * number / count)
                execute(claim, row)
                execute(queries.SETTLE, row)
    journal.close()


def _copy(model: dict[str, Any], number: int, at: float) -> dict[str, Any]:
    """Return a copy of the model in which all indexed columns have new values."""
    name = f"old-{number}"
    digest = row_mapping._digest(name)
    return {
        **model,
        "id": f"{int(at * 1e6):016x}-{number:08x}",
        "natural_key": f'["1","10","{name}"]',
        "request_id": name,
        "fingerprint": digest,
        "draft": model["draft"].replace(_NAME, name),
        "module": model["module"].replace(_NAME, name),
        "module_id": f"cmdb.1.10.{number}",
        "claimed_at": at,
        "lease_until": at + 40,
        "memory_until": at + DEDUP_SECONDS,
        "at": at,
        "holds_memory": digest,
        "holds_name": digest,
    }


def _model() -> dict[str, Any]:
    draft = draft_to_json(ModuleDraft(scope="1", parent="10", name=_NAME, owners=("admin",)))
    module = Module(
        backend="cmdb",
        ref="1.10.1",
        native_id="1",
        scope="1",
        parent="10",
        name=_NAME,
        owners=(Owner("admin"),),
        attributes={"bk_module_type": "1", "service_category_id": 2},
        depth=1,
        has_children=False,
        unavailable=("description",),
    )
    claim = Claim(
        id="model",
        backend="cmdb",
        natural_key=("1", "10", _NAME),
        caller="anonymous",
        idempotency_key=None,
        request_id="model",
        fingerprint=fingerprint("cmdb", draft, "error"),
        draft={"draft": draft, "if_exists": "error", "probed": False},
        claimed_at=0.0,
        lease_until=0.0,
        dedup_until=0.0,
        settle_seconds=130.0,
        worker_id="bench",
    )
    result = row_mapping._mapping_to_json(module_to_json(module, adopted=False))
    settlement = {"state": State.SUCCEEDED.value, "module": result, "error": None, "note": "", "remembered": True}
    return {**row_mapping.claim_params(claim), **settlement}
