"""The routes of lookups: the scopes of a connection, and the parents and owners of a scope."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, request

from gateway.api.authorization import (
    attach_passthrough_credential,
    authorize_any,
    get_visible_backend,
    visible_scopes,
)
from gateway.api.context import request_context
from gateway.api.endpoint_spec import describe
from gateway.api.page_tokens import decode_page_token, encode_page_token
from gateway.api.request_parsing import parse_query
from gateway.api.responses import json_response
from gateway.api.schemas.requests import LOOKUP_QUERY_SCHEMA, LookupQuerySchema
from gateway.api.schemas.responses import LookupPageSchema
from gateway.domain.backend import Backend
from gateway.domain.callers import Action
from gateway.domain.errors import NotSupported, ScopeNotFound
from gateway.domain.lookup import LookupKind, LookupQuery
from gateway.domain.messages import message

blueprint = Blueprint("lookups", __name__)
_LOOKUP_PAGE: Final = LookupPageSchema()
#: A form needs the choices for a create; a caller that may read a scope may see what is in it.
_ACTIONS: Final[tuple[Action, ...]] = ("read", "create")


@blueprint.get("/backends/<name>/scopes")
@describe(
    summary="List the scopes of a connection that the caller may read or create in",
    responses={200: ("A page; it may be short.", [LookupPageSchema])},
    query=LookupQuerySchema,
)
def list_scopes(name: str) -> Response:
    """Return one page of scopes."""
    data, backend = parse_query(request, LOOKUP_QUERY_SCHEMA), get_visible_backend(name)
    query = LookupQuery(kind="scopes", text=data["q"], scopes=visible_scopes(backend, _ACTIONS))
    return _lookup_response(backend, query, data["page_size"], data.get("page_token"))


@blueprint.get("/backends/<name>/scopes/<scope>/parents")
@describe(
    summary="List the parents that a module of a scope can have",
    responses={200: ("A page; it may be short.", [LookupPageSchema])},
    query=LookupQuerySchema,
)
def list_parents(name: str, scope: str) -> Response:
    """Return one page of parents."""
    return _lookup_in_scope(name, "parents", scope)


@blueprint.get("/backends/<name>/scopes/<scope>/owners")
@describe(
    summary="List the owners that a module of a scope can have",
    responses={200: ("A page; it may be short.", [LookupPageSchema])},
    query=LookupQuerySchema,
)
def list_owners(name: str, scope: str) -> Response:
    """Return one page of owners."""
    return _lookup_in_scope(name, "owners", scope)


def _lookup_in_scope(name: str, kind: LookupKind, scope: str) -> Response:
    data, backend = parse_query(request, LOOKUP_QUERY_SCHEMA), get_visible_backend(name)
    authorize_any(_ACTIONS, backend, scope)
    query = LookupQuery(kind=kind, scope=scope, text=data["q"])
    return _lookup_response(backend, query, data["page_size"], data.get("page_token"))


def _lookup_response(backend: Backend, query: LookupQuery, page_size: int, page_token: str | None) -> Response:
    """Return a page of a lookup; raises NotSupported, or ScopeNotFound for a malformed scope."""
    capabilities = backend.capabilities
    if query.kind not in capabilities.lookups:
        raise NotSupported(message("lookup_not_supported", backend=backend.name, kind=query.kind))
    if query.kind != "scopes" and capabilities.scope.validate(query.scope, "/scope"):
        raise ScopeNotFound
    if query.scopes is not None and not query.scopes:
        return json_response({"items": [], "next_page_token": None})
    attach_passthrough_credential(backend)
    list_filter = (backend.name, query.kind, query.scope, query.text)
    cursor = decode_page_token(page_token, list_filter)
    page = backend.lookup(query, page_size, cursor, request_context().call)
    items = filter(query.matches, page.items)  # what the caller may see does not depend on the adapter
    next_token = encode_page_token(page.next_cursor, list_filter)
    return json_response(_LOOKUP_PAGE.dump({"items": items, "next_page_token": next_token}))
