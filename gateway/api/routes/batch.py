"""The route of /modules:batch: up to a hundred creates in one request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from flask import Blueprint, Response, request

from gateway.api.authorization import attach_passthrough_credential, authorize, visible_backends
from gateway.api.batch_parsing import ParsedItem, in_order, parse_batch
from gateway.api.context import dependencies, request_context
from gateway.api.endpoint_spec import describe
from gateway.api.error_handlers import HTTP_STATUS, problem_document, to_public_error
from gateway.api.json_body import JSON_TYPE
from gateway.api.request_headers import CREATE_HEADERS, idempotency_key
from gateway.api.request_parsing import parse_query
from gateway.api.responses import json_response, serialize_module
from gateway.api.routes.modules import serialize_preview
from gateway.api.schemas.requests import BATCH_SCHEMA, CREATE_QUERY_SCHEMA, CreateQuerySchema
from gateway.api.schemas.responses import BatchResultSchema, ProblemSchema
from gateway.domain.backend import CallContext
from gateway.domain.errors import Outcome
from gateway.domain.snapshot import Snapshots
from gateway.provisioning import create
from gateway.provisioning.batch import Batch, BatchItem, ItemResult
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import CreateResult, Provisioner

blueprint = Blueprint("batch", __name__)
_PROBLEM: Final = ProblemSchema()
#: The outcome of a batch is the first of these that an item has.
_BY_WEIGHT: Final = (Outcome.UNKNOWN, Outcome.APPLIED)
_SUMMARY: Final = ("created", "adopted", "replayed", "failed", "unknown", "not_started")


@blueprint.post("/modules:batch")
@describe(
    summary="Create up to 100 modules",
    responses={
        200: ("Every item holds its module, or validate_only.", [BatchResultSchema]),
        207: ("Some items do not: repeat the request to resume.", [BatchResultSchema]),
    },
    query=CreateQuerySchema,
    body=BATCH_SCHEMA,
    media_types=[JSON_TYPE],
    headers=CREATE_HEADERS[:3],
)
def create_modules() -> Response:
    """Create the items, each as a single create, and return what became of each."""
    ctx, query, key = request_context(), parse_query(request, CREATE_QUERY_SCHEMA), idempotency_key(request.environ)
    parsed = parse_batch(request, visible_backends(), refs_required=key is not None)
    calls: dict[str, CallContext] = {}
    for item in parsed:
        authorize("create", item.backend, item.draft.scope)
        if query["if_exists"] == "adopt":
            authorize("read", item.backend, item.draft.scope)
        if item.backend.name not in calls:
            calls[item.backend.name] = call = replace(ctx.call, snapshots=Snapshots())
            attach_passthrough_credential(item.backend, call)
    items = [_to_batch_item(item, calls[item.backend.name], query, key) for item in in_order(parsed)]
    batch = Batch(
        runtime=dependencies().provisioner.runtime,
        items=items,
        work=_preview if query["validate_only"] else partial(_create, dependencies().provisioner),
        pace=partial(dependencies().authenticator.count_request, ctx.caller),
        deadline=ctx.call.deadline,
    )
    results = batch.run()
    ctx.call.upstream_seconds = max(item.call.upstream_seconds for item in items)
    documents = [_serialize(item, results[item.ref]) for item in parsed]
    counts = Counter(_classify(results[item.ref]) for item in parsed)
    outcomes = {document["outcome"] for document in documents}
    ctx.outcome = next((outcome for outcome in _BY_WEIGHT if outcome in outcomes), Outcome.NOT_APPLIED)
    is_complete = not counts["failed"] + counts["unknown"] + counts["not_started"]
    document = {"summary": {name: counts[name] for name in _SUMMARY}, "items": documents}
    return json_response(document, 200 if is_complete else 207)


def _to_batch_item(item: ParsedItem, call: CallContext, query: Mapping[str, Any], key: str | None) -> BatchItem:
    """Return an item to run; the parents of a preview are not created."""
    create_request = CreateRequest(
        draft=item.draft,
        if_exists=query["if_exists"],
        caller=request_context().caller.principal,
        idempotency_key=None if key is None else f"{key}\n{item.ref}",  # no key that a caller can send has a line break
    )
    return BatchItem(
        ref=item.ref,
        backend=item.backend,
        request=create_request,
        call=replace(call),
        parent_ref=None if query["validate_only"] else item.parent_ref,
    )


def _create(provisioner: Provisioner, item: BatchItem) -> CreateResult:
    result = provisioner.create(item.backend, item.request, item.call)
    create.check_kept(item.backend, item.request.draft, result.created.module, result.operation_id)
    return result


def _preview(item: BatchItem) -> tuple[create.PreflightCheck, ...]:
    return create.preview(item.backend, item.request.draft, item.call, item.request.if_exists)


def _classify(result: ItemResult) -> str | None:
    """Return the member of the summary that counts an item; None for a preview."""
    if result.not_started:
        return "not_started"
    if result.error is not None:
        return "unknown" if result.error.outcome is Outcome.UNKNOWN else "failed"
    if not isinstance(result.value, CreateResult):
        return None
    return "replayed" if result.value.replayed else "adopted" if result.value.created.adopted else "created"


def _serialize(item: ParsedItem, result: ItemResult) -> dict[str, Any]:
    """Return what became of an item in the public format."""
    document: dict[str, Any] = {
        "ref": item.ref,
        "status": None,
        "outcome": Outcome.NOT_APPLIED,
        "module": None,
        "problem": None,
        "operation": None,
    }
    draft = item.draft
    request_context().values = {  # the details of errors name them
        "backend": item.backend.name,
        "scope": draft.scope,
        "parent": draft.parent,
        "name": draft.name,
        "owners": draft.owners or (),
    }
    if result.error is not None:
        error = to_public_error(result.error, has_credential=item.backend.capabilities.credential_header is not None)
        status = HTTP_STATUS[error.code]
        problem = _PROBLEM.dump(problem_document(error, status, request_context()))
        return document | {
            "status": status,
            "outcome": error.outcome,
            "problem": problem,
            "operation": error.operation,
        }
    if result.not_started:
        return document | {"not_started": result.not_started}
    if not isinstance(result.value, CreateResult):
        return document | {"status": 200, "preview": serialize_preview(result.value)}
    created = result.value.created
    return document | {
        "status": 200 if created.adopted else 201,
        "outcome": Outcome.NOT_APPLIED if created.adopted else Outcome.APPLIED,
        "module": serialize_module(created.module, item.backend.capabilities),
        "operation": result.value.operation_id,
    }
