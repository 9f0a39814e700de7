"""The routes of /operations: the state and result of creates, and a person's verdict on one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from flask import Blueprint, Response, request

from gateway.api.authorization import attach_passthrough_credential, authorize, granted_places
from gateway.api.context import dependencies, request_context
from gateway.api.endpoint_spec import describe
from gateway.api.i18n import get_language
from gateway.api.json_body import JSON_TYPE
from gateway.api.page_tokens import decode_page_token, encode_page_token
from gateway.api.request_parsing import parse_query, parse_verdict, split_module_id
from gateway.api.responses import json_response, serialize_module
from gateway.api.schemas.requests import (
    NO_QUERY_SCHEMA,
    OPERATIONS_QUERY_SCHEMA,
    VERDICT_SCHEMA,
    OperationsQuerySchema,
)
from gateway.api.schemas.responses import OperationPageSchema, OperationSchema
from gateway.domain.callers import Action, Caller
from gateway.domain.errors import BackendUnknown, OperationNotFound, Unauthenticated
from gateway.domain.operation import Claim, Operation, OperationFilter
from gateway.provisioning.resolve import Verdict
from gateway.provisioning.serialization import error_from_json, module_from_json

blueprint = Blueprint("operations", __name__)
_OPERATION: Final = OperationSchema()
#: The actions of which a caller needs one to read its create, by the create's `if_exists`.
_READ_ACTIONS: Final[Mapping[str, tuple[Action, ...]]] = {"error": ("create", "read"), "adopt": ("read",)}
#: Members of an evidence entry that name another caller.
_EVIDENCE_OF_CALLERS: Final = frozenset({"by", "user"})


@blueprint.get("/operations")
@describe(
    summary="List creates, the newest first: the caller's own, and with `operate` those of all callers",
    responses={200: ("A page.", [OperationPageSchema])},
    query=OperationsQuerySchema,
)
def list_operations() -> Response:
    """Return one page of operations."""
    data = parse_query(request, OPERATIONS_QUERY_SCHEMA)
    caller, states = request_context().caller, data.get("state", [])
    operation_filter = OperationFilter(
        caller=caller.principal,
        places=granted_places("operate"),
        states=states,
        backend=data.get("backend"),
        scope=data.get("scope"),
    )
    list_filter = [*(state.value for state in states), operation_filter.backend, operation_filter.scope]
    before, limit = decode_page_token(data.get("page_token"), list_filter), data["page_size"]
    operations = dependencies().provisioner.journal.list_operations(operation_filter, before=before, limit=limit + 1)
    page = operations[:limit]
    return json_response(
        {
            "operations": [serialize_operation(operation) for operation in page if _may_read(caller, operation.claim)],
            "next_page_token": encode_page_token(page[-1].claim.id if len(operations) > limit else None, list_filter),
        }
    )


@blueprint.get("/operations/<operation_id>")
@describe(summary="Follow a create", responses={200: ("What has become of it.", [OperationSchema])})
def get_operation(operation_id: str) -> Response:
    """Return an operation that the caller may read."""
    return json_response(serialize_operation(_find(operation_id)))


@blueprint.post("/operations/<operation_id>:resolve")
@describe(
    summary="Settle a create that is ambiguous, or past its settle window, by a person's verdict",
    responses={200: ("The settled operation.", [OperationSchema])},
    body=VERDICT_SCHEMA,
    media_types=[JSON_TYPE],
)
def resolve_operation(operation_id: str) -> Response:
    """Record the verdict and return the operation."""
    parse_query(request, NO_QUERY_SCHEMA)
    operation, ctx = _find(operation_id), request_context()
    ctx.operation = operation_id
    claim = operation.claim
    backend = dependencies().backends.get(claim.backend)
    if backend is None:
        raise BackendUnknown
    authorize("operate", backend, claim.scope)
    data = parse_verdict(request)
    with suppress(Unauthenticated):  # then the lookup before the verdict is left out
        attach_passthrough_credential(backend)
    ref = split_module_id(data["module"], {backend.name: backend})[1] if "module" in data else None
    verdict = Verdict(
        verdict=data["verdict"], ref=ref, reason=data["reason"], caller=ctx.caller.principal, user=ctx.call.user
    )
    resolved = dependencies().resolver.resolve(backend, operation, verdict, ctx.call)
    ctx.outcome = resolved.state.outcome
    return json_response(serialize_operation(resolved))


def _find(operation_id: str) -> Operation:
    """Return an operation; raises OperationNotFound also if the caller may not read it: it does not learn of it."""
    operation = None if "\0" in operation_id else dependencies().provisioner.journal.get(operation_id)
    if operation is None or not _may_read(request_context().caller, operation.claim):
        raise OperationNotFound
    return operation


def _may_read(caller: Caller, claim: Claim) -> bool:
    """Return whether the caller may operate, or the create is its own and its allow-list covers it.

    The allow-list may be narrower by now. The caller of a create may read it, with `create` or `read`; after `adopt`
    only with `read`, since the module may be another's.
    """
    if caller.is_allowed("operate", claim.backend, claim.scope):
        return True
    if claim.caller != caller.principal:
        return False
    return any(
        caller.is_allowed(action, claim.backend, claim.scope) for action in _READ_ACTIONS[claim.draft["if_exists"]]
    )


def serialize_operation(operation: Operation) -> dict[str, Any]:
    """Return an operation in the public format; only who may operate sees the callers that it names."""
    claim = operation.claim
    module = None if operation.module is None else module_from_json(operation.module)[0]
    backend = dependencies().backends.get(claim.backend)
    values: dict[str, Any] = {
        "operation": operation,
        "module": module,
        "error": _serialize_error(operation),
        "evidence": operation.evidence,
    }
    if request_context().caller.is_allowed("operate", claim.backend, claim.scope):
        values |= {"caller": claim.caller, "user": claim.draft.get("user")}
    else:
        values["evidence"] = [
            {key: value for key, value in entry.items() if key not in _EVIDENCE_OF_CALLERS}
            for entry in operation.evidence
        ]
    document: dict[str, Any] = _OPERATION.dump(values)
    if module is not None and backend is not None:
        document["module"] = serialize_module(module, backend.capabilities)
    return document


def _serialize_error(operation: Operation) -> dict[str, Any] | None:
    error = operation.error
    if error is None:
        return None
    values = {**operation.claim.draft["draft"], "backend": operation.claim.backend}
    detail = get_language().detail(error_from_json(error), values)
    members = {"code": error["code"], "detail": detail, "existing": error["existing"]}
    return {name: value for name, value in members.items() if value is not None}
