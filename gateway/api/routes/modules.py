"""The routes of /modules: load, find, ask, render."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from flask import Blueprint, Response

from gateway.api.authorization import authorize, take_credential, visible
from gateway.api.context import current_request, notes
from gateway.api.i18n import Translate, translation
from gateway.api.pagination import make_token, read_token
from gateway.api.request_headers import idempotency_key, wants_no_wait
from gateway.api.request_parsing import find_backend, load_draft, load_patch, load_query, module_query
from gateway.api.responses import json_response, render_module
from gateway.api.routes import operations
from gateway.api.schemas import requests
from gateway.domain.backend import Backend
from gateway.domain.callers import Action
from gateway.domain.errors import Outcome
from gateway.domain.module import Module
from gateway.domain.operation import Operation
from gateway.provisioning import create, update_delete
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import CreateResult, Provisioner

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]+")  # an id that needs no quotes


def routes(backends: Mapping[str, Backend], provisioner: Provisioner) -> Blueprint:
    """Build the routes over these connections."""
    blueprint = Blueprint("modules", __name__)

    @blueprint.post("/modules")
    def create_module() -> Response:
        request, mine = current_request(), notes()
        query = load_query(request, requests.CREATE_QUERY)
        backend, draft = load_draft(request, visible(backends))
        authorize("create", backend, draft.scope)
        if query["if_exists"] == "adopt":
            authorize("read", backend, draft.scope)  # its answer shows a module that somebody else has made
        take_credential(backend)
        if query["validate_only"]:
            return _preview(create.preview(backend, draft, mine.call))
        order = CreateRequest(
            draft=draft,
            if_exists=query["if_exists"],
            caller=mine.caller.principal,
            idempotency_key=idempotency_key(request),
        )
        if wants_no_wait(request):
            return _accepted(provisioner.start(backend, order, mine.call).operation)
        return _created(provisioner.create(backend, order, mine.call))

    @blueprint.get("/modules")
    def list_modules() -> Response:
        values = load_query(current_request(), requests.LIST_QUERY)
        backend, query = module_query(values, visible(backends))
        authorize("read", backend, query.scope)
        take_credential(backend)
        token = values.get("page_token")
        cursor = None if token is None else read_token(token, backend.name, query)
        page = backend.list(query, values["page_size"], cursor, notes().call)
        provisioner.record_seen(page.modules)
        following = None if page.next_cursor is None else make_token(page.next_cursor, backend.name, query)
        return json_response({"modules": [*map(render_module, page.modules)], "next_page_token": following})

    @blueprint.get("/modules/<module_id>")
    def get_module(module_id: str) -> Response:
        load_query(current_request(), requests.NO_QUERY)
        backend, ref = find("read", module_id)
        return _module(backend.get(ref, notes().call))

    @blueprint.patch("/modules/<module_id>")
    def update_module(module_id: str) -> Response:
        load_query(current_request(), requests.NO_QUERY)
        backend, ref = find("update", module_id)
        patch = load_patch(current_request(), backend)
        mine = notes()
        module = update_delete.update(provisioner.journal, backend, ref, patch, mine.call)
        mine.outcome = Outcome.NOT_APPLIED if patch.is_empty else Outcome.APPLIED
        return _module(module)

    @blueprint.delete("/modules/<module_id>")
    def delete_module(module_id: str) -> Response:
        query = load_query(current_request(), requests.DELETE_QUERY)
        backend, ref = find("delete", module_id)
        mine = notes()
        update_delete.delete(provisioner.journal, backend, ref, cascade=query["cascade"], call=mine.call)
        mine.outcome = Outcome.APPLIED
        response = Response(status=204)
        del response.headers["Content-Type"]  # of a body that is not there
        return response

    def find(action: Action, module_id: str) -> tuple[Backend, str]:
        """Split an id, and make sure that the caller may do this where it lies."""
        backend, ref = find_backend(module_id, visible(backends))
        authorize(action, backend, backend.scope_of(ref))
        take_credential(backend)
        return backend, ref

    return blueprint


def _created(answer: CreateResult) -> Response:
    """Answer a create as it was answered the first time, and say whether this is the first time."""
    module, adopted = answer.created.module, answer.created.adopted
    noted = notes()
    noted.operation, noted.replayed = answer.operation_id, answer.replayed
    noted.outcome = Outcome.NOT_APPLIED if adopted else Outcome.APPLIED
    name = module.id if _PLAIN.fullmatch(module.id) else quote(module.id)
    lines = [("Location", f"/modules/{name}")]
    if answer.replayed:
        lines.append(("Idempotency-Replayed", "true"))
    return _module(module, 200 if adopted else 201, *lines)


def _accepted(operation: Operation) -> Response:
    """Answer before the create is done: it is written down, and this is where to follow it."""
    noted = notes()
    noted.operation, noted.outcome = operation.claim.id, operation.state.outcome
    return json_response(
        operations.render(operation),
        202,
        ("Location", f"/operations/{operation.claim.id}"),
        ("Preference-Applied", "respond-async"),
    )


def _module(module: Module, status: int = 200, *lines: tuple[str, str]) -> Response:
    return json_response(render_module(module), status, *lines)


def _preview(checks: tuple[create.PreflightCheck, ...]) -> Response:
    translate = translation()
    told = [_check(check, translate) for check in checks]
    would = "create" if all(line["passed"] for line in told) else "conflict"
    notes().outcome = Outcome.NOT_APPLIED
    return json_response({"would": would, "checks": told})


def _check(check: create.PreflightCheck, translate: Translate) -> dict[str, Any]:
    told: dict[str, Any] = {"check": check.name, "passed": check.error is None}
    if check.error is not None:
        told |= {"code": check.error.code, "detail": translate(check.error.detail)}
        told |= {"existing": check.error.existing} if check.error.existing else {}
    return told
