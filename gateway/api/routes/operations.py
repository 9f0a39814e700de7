"""The routes of /operations: the state and result of a create."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Response

from gateway.api.context import dependencies, request_context
from gateway.api.endpoint_spec import describe
from gateway.api.i18n import get_language
from gateway.api.responses import json_response
from gateway.api.schemas.responses import OperationSchema
from gateway.domain.callers import Action, Caller
from gateway.domain.errors import OperationNotFound
from gateway.domain.operation import Claim, Operation
from gateway.provisioning.serialization import error_from_json, module_from_json

blueprint = Blueprint("operations", __name__)
_OPERATION: Final = OperationSchema()
#: The actions of which a caller needs one to read its create, by the create's `if_exists`.
_READ_ACTIONS: Final[Mapping[str, tuple[Action, ...]]] = {"error": ("create", "read"), "adopt": ("read",)}


@blueprint.get("/operations/<operation_id>")
@describe(summary="Follow a create", responses={200: ("What has become of it.", [OperationSchema])})
def get_operation(operation_id: str) -> Response:
    """Return one of the caller's own operations, if the allow-list still covers it."""
    operation = dependencies().provisioner.journal.get(operation_id)
    if operation is None or not _may_read(request_context().caller, operation.claim):
        raise OperationNotFound  # and not Forbidden, which would confirm that the operation exists
    return json_response(serialize_operation(operation))


def _may_read(caller: Caller, claim: Claim) -> bool:
    """Return whether the create is the caller's own, and the allow-list, which may be narrower by now, covers it.

    The caller of a create may read it, with `create` or `read`; after `adopt` only with `read`, since the module may be
    another's.
    """
    if claim.caller != caller.principal:
        return False
    scope, actions = claim.draft["draft"]["scope"], _READ_ACTIONS[claim.draft["if_exists"]]
    return any(caller.is_allowed(action, claim.backend, scope) for action in actions)


def serialize_operation(operation: Operation) -> dict[str, Any]:
    """Return an operation in the public format."""
    module = None if operation.module is None else module_from_json(operation.module)[0]
    document: dict[str, Any] = _OPERATION.dump(
        {"operation": operation, "module": module, "error": _serialize_error(operation)}
    )
    return document


def _serialize_error(operation: Operation) -> dict[str, Any] | None:
    error = operation.error
    if error is None:
        return None
    values = {**operation.claim.draft["draft"], "backend": operation.claim.backend}
    detail = get_language().detail(error_from_json(error), values)
    members = {"code": error["code"], "detail": detail, "existing": error["existing"]}
    return {name: value for name, value in members.items() if value is not None}
