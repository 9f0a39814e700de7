"""The routes of /modules: load, find, ask, render."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, jsonify, request

from gateway.api import schemas
from gateway.api.access import current_call
from gateway.api.loading import find_backend, load_draft, load_patch, load_query, module_query
from gateway.api.paging import make_token, read_token
from gateway.domain.errors import Outcome
from gateway.domain.module import Module
from gateway.domain.ports import Backend
from gateway.provisioning import change, creation


def routes(backends: Mapping[str, Backend]) -> Blueprint:
    """Build the routes over these connections."""
    blueprint = Blueprint("modules", __name__)

    @blueprint.post("/modules")
    def create_module() -> Response:
        query = load_query(request, schemas.CreateQuery())
        backend, draft = load_draft(request, backends)
        if query["validate_only"]:
            return _preview(creation.preview(backend, draft, current_call()))
        created = creation.create(backend, draft, query["if_exists"], current_call())
        response = _module(created.module)
        response.status_code = 200 if created.adopted else 201
        response.headers["Location"] = f"/modules/{quote(created.module.id)}"
        return _with_outcome(response, Outcome.NOT_APPLIED if created.adopted else Outcome.APPLIED)

    @blueprint.get("/modules")
    def list_modules() -> Response:
        values = load_query(request, schemas.ListQuery())
        backend, query = module_query(values, backends)
        token = values.get("page_token")
        cursor = None if token is None else read_token(token, backend.name, query)
        page = backend.list(query, values["page_size"], cursor, current_call())
        following = None if page.next_cursor is None else make_token(page.next_cursor, backend.name, query)
        return jsonify(modules=schemas.MODULE.dump(page.modules, many=True), next_page_token=following)

    @blueprint.get("/modules/<module_id>")
    def get_module(module_id: str) -> Response:
        load_query(request, schemas.NoQuery())
        backend, ref = find_backend(module_id, backends)
        return _module(backend.get(ref, current_call()))

    @blueprint.patch("/modules/<module_id>")
    def update_module(module_id: str) -> Response:
        load_query(request, schemas.NoQuery())
        backend, ref = find_backend(module_id, backends)
        patch = load_patch(request, backend)
        return _with_outcome(_module(change.update(backend, ref, patch, current_call())), Outcome.APPLIED)

    @blueprint.delete("/modules/<module_id>")
    def delete_module(module_id: str) -> Response:
        query = load_query(request, schemas.DeleteQuery())
        backend, ref = find_backend(module_id, backends)
        change.delete(backend, ref, cascade=query["cascade"], call=current_call())
        response = Response(status=204)
        del response.headers["Content-Type"]  # of a body that is not there
        return _with_outcome(response, Outcome.APPLIED)

    return blueprint


def _module(module: Module) -> Response:
    return jsonify(schemas.MODULE.dump(module))


def _preview(checks: tuple[creation.Check, ...]) -> Response:
    told = [_check(check) for check in checks]
    would = "create" if all(line["passed"] for line in told) else "conflict"
    return _with_outcome(jsonify(would=would, checks=told), Outcome.NOT_APPLIED)


def _check(check: creation.Check) -> dict[str, Any]:
    told: dict[str, Any] = {"check": check.name, "passed": check.error is None}
    if check.error is not None:
        told |= {"code": check.error.code, "detail": check.error.detail}
        told |= {"existing": check.error.existing} if check.error.existing else {}
    return told


def _with_outcome(response: Response, outcome: Outcome) -> Response:
    response.headers["Gateway-Outcome"] = outcome.value
    return response
