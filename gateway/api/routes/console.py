"""The routes of the console: a page, its style sheet and its scripts, static files that use the public API."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flask import Blueprint, Response, redirect, request, send_from_directory
from werkzeug.wrappers import Response as WsgiResponse

from gateway.domain.errors import NotFound

_FOLDER: Final = Path(__file__).parents[1] / "console"
_FILES: Final = frozenset(path.name for path in _FOLDER.iterdir())
#: Trusted types make the browser refuse markup that is built from strings.
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

blueprint = Blueprint("console", __name__)


@blueprint.get("/")
@blueprint.get("/console")
def redirect_to_console() -> WsgiResponse:
    """Redirect to the page by a relative address, which is right below any mount point."""
    return redirect("console/")


@blueprint.get("/console/", defaults={"name": "index.html"})
@blueprint.get("/console/<name>")
def console_file(name: str) -> Response:
    """Return a file of the console, or 304 if the browser has it; a Range header is ignored."""
    if name not in _FILES:
        raise NotFound
    response = send_from_directory(_FOLDER, name, conditional=False)
    response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    response.make_conditional(request)
    return response
