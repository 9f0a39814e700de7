"""The route of /operations: what became of a create."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, jsonify

from gateway.api.context import notes
from gateway.api.i18n import translation
from gateway.api.responses import render_module
from gateway.domain.errors import OperationNotFound
from gateway.domain.journal import Journal
from gateway.domain.operation import Operation
from gateway.provisioning.serialization import module_from_json


def routes(journal: Journal) -> Blueprint:
    """Build the route over this journal."""
    blueprint = Blueprint("operations", __name__)

    @blueprint.get("/operations/<operation_id>")
    def get_operation(operation_id: str) -> Response:
        operation = journal.get(operation_id)
        if operation is None or operation.claim.caller != notes().caller.principal:
            raise OperationNotFound
        return jsonify(render(operation))

    return blueprint


def render(operation: Operation) -> dict[str, Any]:
    """Return an operation as its caller may see it."""
    claim = operation.claim
    module = None if operation.module is None else render_module(module_from_json(operation.module)[0])
    return {
        "id": claim.id,
        "kind": "create",
        "state": operation.state.value,
        "outcome": operation.state.outcome.value,
        "backend": claim.backend,
        "request": claim.draft["draft"],
        "request_id": claim.request_id,
        "module": module,
        "error": _error(operation),
        "evidence": [{**each, "at": _instant(each["at"])} for each in operation.evidence],
        "claimed_at": _instant(claim.claimed_at),
        "settles_at": _instant(operation.settles_at),
        "updated_at": _instant(operation.updated_at),
    }


def _error(operation: Operation) -> dict[str, Any] | None:
    error = operation.error
    if error is None:
        return None
    told = {"code": error["code"], "detail": translation()(error["detail"]), "existing": error["existing"]}
    return {name: value for name, value in told.items() if value is not None}


def _instant(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
