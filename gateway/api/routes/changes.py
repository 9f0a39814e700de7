"""The route of /changes: every write that went through the gateway."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, request

from gateway.api.authorization import granted_places
from gateway.api.context import dependencies, request_context
from gateway.api.endpoint_spec import describe
from gateway.api.request_headers import preferred_wait, request_timeout
from gateway.api.request_parsing import parse_query
from gateway.api.responses import json_response
from gateway.api.schemas.requests import CHANGES_QUERY_SCHEMA, ChangesQuerySchema
from gateway.api.schemas.responses import ChangePageSchema
from gateway.domain.change import ChangeFilter
from gateway.domain.errors import Forbidden
from gateway.domain.messages import message

blueprint = Blueprint("changes", __name__)
_PAGE: Final = ChangePageSchema()


@blueprint.get("/changes")
@describe(
    summary="Read the writes that went through the gateway, and wait for new ones",
    responses={200: ("A page; `next_after` continues from it, also if it is empty.", [ChangePageSchema])},
    query=ChangesQuerySchema,
    headers=(
        {
            "in": "header",
            "name": "Prefer",
            "description": "wait=25: if there is nothing new, wait up to 25 seconds for it, at most 60.",
            "schema": {"type": "string"},
        },
    ),
)
def list_changes() -> Response:
    """Return entries after a sequence number."""
    data, ctx = parse_query(request, CHANGES_QUERY_SCHEMA), request_context()
    places = granted_places("audit")
    if not places:
        raise Forbidden(message("audit_not_allowed", caller=ctx.caller.name))
    change_filter = ChangeFilter(
        places=places, backend=data.get("backend"), scope=data.get("scope"), module=data.get("module")
    )
    seconds = preferred_wait(request.environ)
    page = dependencies().change_feed.read(
        change_filter,
        after=data["after"],
        limit=data["page_size"],
        wait_until=ctx.started_at + request_timeout(request.environ, seconds) if seconds else None,
    )
    headers = {"Preference-Applied": f"wait={seconds:.0f}"} if seconds else {}
    return json_response(_PAGE.dump({"changes": page.entries, "next_after": page.next_after}), headers=headers)
