"""The routes of /modules."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from flask import Blueprint, Response, request

from gateway.api.authorization import attach_passthrough_credential, authorize, visible_backends
from gateway.api.context import dependencies, request_context
from gateway.api.endpoint_spec import describe
from gateway.api.i18n import Language, get_language
from gateway.api.json_body import JSON_TYPE, MERGE_PATCH_TYPE
from gateway.api.page_tokens import decode_page_token, encode_page_token
from gateway.api.request_headers import CHANGE_HEADERS, CREATE_HEADERS, idempotency_key, if_match, prefers_async
from gateway.api.request_parsing import build_module_query, parse_create, parse_patch, parse_query, split_module_id
from gateway.api.responses import empty_response, json_response, module_response, serialize_module
from gateway.api.routes.operations import serialize_operation
from gateway.api.schemas.requests import (
    CREATE_QUERY_SCHEMA,
    DELETE_QUERY_SCHEMA,
    DRAFT_SCHEMA,
    LIST_QUERY_SCHEMA,
    NO_QUERY_SCHEMA,
    CreateQuerySchema,
    DeleteQuerySchema,
    ListQuerySchema,
    PatchSchema,
)
from gateway.api.schemas.responses import ModuleSchema, OperationSchema, PageSchema, PreviewSchema
from gateway.domain.backend import Backend
from gateway.domain.callers import Action
from gateway.domain.errors import ModuleAlreadyExists, ModuleExistsDifferently, Outcome
from gateway.domain.operation import Operation
from gateway.provisioning import create
from gateway.provisioning.create import CreateRequest, unavailable_before_write
from gateway.provisioning.provisioner import CreateResult

blueprint = Blueprint("modules", __name__)
_PREVIEW: Final = PreviewSchema()


@blueprint.post("/modules")
@describe(
    summary="Create a module",
    responses={
        201: ("Created.", [ModuleSchema]),
        202: ("Prefer: respond-async. It is written down.", [OperationSchema]),
        200: ("if_exists=adopt: it was there. validate_only: the checks.", [ModuleSchema, PreviewSchema]),
    },
    query=CreateQuerySchema,
    body=DRAFT_SCHEMA,
    media_types=[JSON_TYPE],
    headers=CREATE_HEADERS,
)
def create_module() -> Response:
    """Create a module, or preview the create."""
    ctx, provisioner = request_context(), dependencies().provisioner
    query = parse_query(request, CREATE_QUERY_SCHEMA)
    backend, draft = parse_create(request, visible_backends())
    authorize("create", backend, draft.scope)
    if query["if_exists"] == "adopt":
        authorize("read", backend, draft.scope)  # the response shows a module that another caller may have created
    attach_passthrough_credential(backend)
    if query["validate_only"]:
        return preview_response(create.preview(backend, draft, ctx.call, query["if_exists"]))
    create_request = CreateRequest(
        draft=draft,
        if_exists=query["if_exists"],
        caller=ctx.caller.principal,
        idempotency_key=idempotency_key(request.environ),
    )
    if prefers_async(request.environ):
        return accepted_response(provisioner.start(backend, create_request, ctx.call).operation)
    result = provisioner.create(backend, create_request, ctx.call)
    create.check_kept(backend, draft, result.created.module, result.operation_id)
    return created_response(result, backend)


@blueprint.get("/modules")
@describe(
    summary="List one connection's modules, page by page",
    responses={200: ("A page.", [PageSchema])},
    query=ListQuerySchema,
)
def list_modules() -> Response:
    """Return one page of modules."""
    data = parse_query(request, LIST_QUERY_SCHEMA)
    backend, query = build_module_query(data, visible_backends())
    authorize("read", backend, query.scope)
    attach_passthrough_credential(backend)
    list_filter = (backend.name, query.scope, query.parent, query.name, query.include_built_in)
    cursor = decode_page_token(data.get("page_token"), list_filter)
    page = backend.list(query, data["page_size"], cursor, request_context().call)
    modules = [serialize_module(module, backend.capabilities) for module in page.modules]
    next_token = encode_page_token(page.next_cursor, list_filter)
    return json_response({"modules": modules, "next_page_token": next_token})


@blueprint.get("/modules/<module_id>")
@describe(summary="Read a module", responses={200: ("The module.", [ModuleSchema])})
def get_module(module_id: str) -> Response:
    """Return a module."""
    parse_query(request, NO_QUERY_SCHEMA)
    backend, ref = resolve_module(module_id, action="read")
    return module_response(backend.get(ref, request_context().call), backend)


@blueprint.patch("/modules/<module_id>")
@describe(
    summary="Change name, description, owners or attributes",
    responses={200: ("The module as it is now.", [ModuleSchema])},
    body=PatchSchema(only=("name", "description", "owners", "attributes")),
    media_types=[JSON_TYPE, MERGE_PATCH_TYPE],
    headers=CHANGE_HEADERS,
)
def update_module(module_id: str) -> Response:
    """Change a module and return it."""
    parse_query(request, NO_QUERY_SCHEMA)
    backend, ref = resolve_module(module_id, action="update")
    ctx = request_context()
    with unavailable_before_write():
        patch = parse_patch(request, backend, lambda: backend.get(ref, ctx.call))
    module = dependencies().changes.update(
        backend, ref, patch, ctx.call, caller=ctx.caller.principal, if_match=if_match(request)
    )
    ctx.outcome = Outcome.NOT_APPLIED if patch.is_empty else Outcome.APPLIED
    return module_response(module, backend)


@blueprint.delete("/modules/<module_id>")
@describe(
    summary="Delete a module",
    responses={204: ("It is gone.", [])},
    query=DeleteQuerySchema,
    headers=CHANGE_HEADERS,
)
def delete_module(module_id: str) -> Response:
    """Delete a module, with `cascade` its children too."""
    query = parse_query(request, DELETE_QUERY_SCHEMA)
    backend, ref = resolve_module(module_id, action="delete")
    ctx = request_context()
    dependencies().changes.delete(
        backend,
        ref,
        cascade=query["cascade"],
        call=ctx.call,
        caller=ctx.caller.principal,
        if_match=if_match(request),
    )
    ctx.outcome = Outcome.APPLIED
    return empty_response()


def resolve_module(module_id: str, *, action: Action) -> tuple[Backend, str]:
    """Return the backend of an id and its `ref`, the adapter's part, after checking that the caller may do the action.

    Also attaches a passed-through credential to the call. Raises ModuleNotFound, Forbidden or Unauthenticated.
    """
    backend, ref = split_module_id(module_id, visible_backends())
    scope = backend.scope_of(ref)
    ctx = request_context()
    ctx.module, ctx.values["scope"] = module_id, scope
    authorize(action, backend, scope)
    attach_passthrough_credential(backend)
    return backend, ref


def created_response(result: CreateResult, backend: Backend) -> Response:
    """Return the response of a create, marked if it repeats an earlier response; record it for the access log."""
    module, adopted = result.created.module, result.created.adopted
    ctx = request_context()
    ctx.operation, ctx.replayed, ctx.module = result.operation_id, result.replayed, module.id
    ctx.outcome = Outcome.NOT_APPLIED if adopted else Outcome.APPLIED
    headers = {"Location": f"{ctx.mount_point}/modules/{quote(module.id)}"}
    if result.replayed:
        headers["Idempotency-Replayed"] = "true"
    return module_response(module, backend, 200 if adopted else 201, headers)


def accepted_response(operation: Operation) -> Response:
    """Return the response of a create that is stored but not complete; record it for the access log."""
    ctx, operation_id = request_context(), operation.claim.id
    ctx.operation, ctx.outcome = operation_id, operation.state.outcome
    headers = {"Location": f"{ctx.mount_point}/operations/{operation_id}", "Preference-Applied": "respond-async"}
    return json_response(serialize_operation(operation), 202, headers)


def preview_response(checks: tuple[create.PreflightCheck, ...]) -> Response:
    """Return the response of a create with `validate_only`."""
    request_context().outcome = Outcome.NOT_APPLIED
    return json_response(serialize_preview(checks))


def serialize_preview(checks: tuple[create.PreflightCheck, ...]) -> dict[str, Any]:
    """Return what a create would do in the public format."""
    language = get_language()
    errors = [check.error for check in checks if check.error is not None]
    if errors:
        would = "conflict" if isinstance(errors[0], ModuleAlreadyExists | ModuleExistsDifferently) else "refuse"
    else:
        would = "adopt" if any(check.would_adopt for check in checks) else "create"
    document: dict[str, Any] = _PREVIEW.dump(
        {"would": would, "checks": [serialize_check(check, language) for check in checks]}
    )
    return document


def serialize_check(check: create.PreflightCheck, language: Language) -> dict[str, Any]:
    """Return a check in the public format."""
    members: dict[str, Any] = {"check": check.name, "passed": check.error is None}
    if check.error is not None:
        members |= {"code": check.error.code, "detail": language.detail(check.error, request_context().values)}
        if check.error.existing:
            members["existing"] = check.error.existing
    return members
