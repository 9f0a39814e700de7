"""What every call of the hot path renders: a module, as JSON.

By hand, and equal to what replies.ModuleSchema dumps (a test holds both together): walking the schema's fifteen fields
costs 70 µs, and Flask's jsonify makes an encoder each time, for another 20.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from flask import Response
from werkzeug.datastructures import Headers

from gateway.domain.module import Module

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Whole(Response):
    """A response that is complete: its body is there, its length is told, its Location holds no character to escape."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:  # noqa: ARG002 - Werkzeug's signature
        """Send the headers as they are; Werkzeug's own way goes through all of them again, at 25 µs."""
        return self.headers


def json_response(document: Any, status: int = 200) -> Response:
    """Answer with a document."""
    return _Whole(_encode(document) + "\n", status, content_type="application/json")


def render_module(module: Module) -> dict[str, Any]:
    """Return a module in the public format."""
    return {
        "id": module.id,
        "backend": module.backend,
        "native_id": module.native_id,
        "scope": module.scope,
        "parent": module.parent,
        "name": module.name,
        "description": module.description,
        "owners": [{"id": each.id, "name": each.name, "display_name": each.display_name} for each in module.owners],
        "attributes": module.attributes,
        "depth": module.depth,
        "has_children": module.has_children,
        "built_in": module.built_in,
        "created_at": _instant(module.created_at),
        "updated_at": _instant(module.updated_at),
        "unavailable": list(module.unavailable),
    }


def _instant(value: datetime | None) -> str | None:
    """Write RFC 3339, UTC, with milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if value else None
