"""The routes of /operations: the state and result of a create."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response

from gateway.api.context import dependencies, request_context
from gateway.api.endpoint_spec import describe
from gateway.api.i18n import get_language
from gateway.api.responses import json_response
from gateway.api.schemas.responses import OperationSchema
from gateway.domain.errors import OperationNotFound
from gateway.domain.operation import Operation
from gateway.provisioning.serialization import error_from_json, module_from_json

blueprint = Blueprint("operations", __name__)
_OPERATION: Final = OperationSchema()


@blueprint.get("/operations/<operation_id>")
@describe(summary="Follow a create", responses={200: ("What has become of it.", [OperationSchema])})
def get_operation(operation_id: str) -> Response:
    """Return one of the caller's own operations."""
    operation = dependencies().provisioner.journal.get(operation_id)
    if operation is None or operation.claim.caller != request_context().caller.principal:
        raise OperationNotFound
    return json_response(serialize_operation(operation))


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
    detail = get_language().detail(error_from_json(error))
    members = {"code": error["code"], "detail": detail, "existing": error["existing"]}
    return {name: value for name, value in members.items() if value is not None}
