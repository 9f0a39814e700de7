"""The routes that explain the service: the registry of errors, the OpenAPI document and the interactive page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import flask_swagger_ui
from flask import Blueprint, Response, jsonify, request, send_from_directory

from gateway.api import error_handlers
from gateway.domain.errors import NotFound

#: The page is ours, the assets are Swagger UI's, as its package carries them: nothing comes from elsewhere.
_PAGE: Final = Path(__file__).parents[1] / "docs"
_DIST: Final = Path(flask_swagger_ui.__file__).parent / "dist"
_ASSETS: Final[Mapping[str, Path]] = {
    "docs.css": _PAGE,
    "docs.js": _PAGE,
    "favicon-32x32.png": _DIST,
    "swagger-ui-bundle.js": _DIST,
    "swagger-ui.css": _DIST,
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def routes() -> Blueprint:
    """Build the routes."""
    blueprint = Blueprint("documents", __name__)

    @blueprint.get("/errors")
    def errors() -> Response:
        return jsonify(errors=error_handlers.registry())

    @blueprint.get("/openapi.json")
    def document() -> Response:
        return jsonify(_document())

    @blueprint.get("/docs")
    def page() -> Response:
        return _send(_PAGE, "index.html")

    @blueprint.get("/docs/<name>")
    def asset(name: str) -> Response:
        if (folder := _ASSETS.get(name)) is None:
            raise NotFound
        response = _send(folder, name)
        response.headers["Cache-Control"] = "max-age=3600"
        return response

    return blueprint


@cache
def _document() -> dict[str, Any]:
    """Build the document once a process, when somebody asks: starting does not wait for it, nor for what builds it."""
    document: dict[str, Any] = import_module("gateway.api.openapi").build()
    return document


def _send(folder: Path, name: str) -> Response:
    """Send a file whole, or say that it is what the browser has: a Range is not served."""
    response = send_from_directory(folder, name, conditional=False)
    response.headers["Content-Security-Policy"] = _POLICY
    response.make_conditional(request)
    return response
