"""The routes of the documentation: the error codes, the OpenAPI document and the Swagger UI page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import flask_swagger_ui
from flask import Blueprint, Response, request, send_from_directory

from gateway.api.context import request_context
from gateway.api.endpoint_spec import describe
from gateway.api.error_handlers import error_catalog
from gateway.api.responses import json_response
from gateway.api.schemas.responses import RegistrySchema
from gateway.domain.errors import NotFound

#: The page refers to Swagger UI's files as its Python package ships them; nothing is loaded from another host.
_DOCS_DIR: Final = Path(__file__).parents[1] / "docs"
_SWAGGER_DIST: Final = Path(flask_swagger_ui.__file__).parent / "dist"
_ASSETS: Final[Mapping[str, Path]] = {
    "docs.css": _DOCS_DIR,
    "docs.js": _DOCS_DIR,
    "favicon-32x32.png": _SWAGGER_DIST,
    "swagger-ui-bundle.js": _SWAGGER_DIST,
    "swagger-ui.css": _SWAGGER_DIST,
}
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = Blueprint("docs", __name__)
_REGISTRY: Final = RegistrySchema()


@blueprint.get("/errors")
@describe(summary="List the codes of errors", responses={200: ("The registry.", [RegistrySchema])})
def list_errors() -> Response:
    """Return every public error code."""
    return json_response(_REGISTRY.dump(error_catalog()))


@blueprint.get("/openapi.json")
def openapi_document() -> Response:
    """Return the OpenAPI document."""
    mount_point = request_context().mount_point
    return json_response({**_build_document(), "servers": [{"url": mount_point or "/"}]})


@blueprint.get("/docs")
def swagger_page() -> Response:
    """Return the Swagger UI page."""
    return _send_file(_DOCS_DIR, "index.html")


@blueprint.get("/docs/<name>")
def swagger_asset(name: str) -> Response:
    """Return a file that the Swagger UI page refers to."""
    if (folder := _ASSETS.get(name)) is None:
        raise NotFound
    response = _send_file(folder, name)
    response.headers["Cache-Control"] = "max-age=3600"
    return response


@cache
def _build_document() -> dict[str, Any]:
    """Build the document at its first request, so that the start of the process does not wait for apispec."""
    document: dict[str, Any] = import_module("gateway.api.openapi").build()
    return document


def _send_file(folder: Path, name: str) -> Response:
    """Return a whole file, or 304 if the browser has it; a Range header is ignored."""
    response = send_from_directory(folder, name, conditional=False)
    response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    response.make_conditional(request)
    return response
