"""Errors as HTTP: the envelope, and the only place that gives it a status (RFC 9457)."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException

from gateway.api.context import notes
from gateway.api.i18n import Translate, translation
from gateway.api.statuses import STATUS
from gateway.domain.errors import (
    REGISTRY,
    BackendRejectedCredentials,
    FieldError,
    GatewayError,
    Internal,
    InvalidJson,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    Outcome,
    PayloadTooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)

_log: Final = logging.getLogger("gateway.api")
PROBLEM_TYPE: Final = "application/problem+json"
#: Named by an id in the address they are *not found*; named by a field of the request they are the field's mistake.
_ADDRESSED: Final = frozenset({"scope_not_found", "parent_not_found"})
#: What a status says in headers too: how to prove an identity, and to Envoy that nobody is broken (it counts and
#: retries these apart).
_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": 'Bearer realm="module-gateway"'},
    429: {"x-envoy-ratelimited": "true"},
}
#: What nearly every caller says, and what need not be taken apart.
_USUALLY_ACCEPTED: Final = frozenset({None, "*/*", "application/json"})
_WRITES: Final = frozenset({"POST", "PATCH", "PUT", "DELETE"})
_FLASK: Final[dict[int, type[GatewayError]]] = {
    400: InvalidJson,
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
}


def install(app: Flask) -> None:
    """Answer every error of the application with the envelope."""

    @app.errorhandler(GatewayError)
    def expected(error: GatewayError) -> Response:
        return answer(error)

    @app.errorhandler(HTTPException)
    def by_flask(error: HTTPException) -> Response:
        response = answer(_FLASK.get(error.code or 500, Internal)())
        if (allow := getattr(error, "valid_methods", None)) is not None:
            response.headers["Allow"] = ", ".join(sorted(allow))
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        _log.error("unexpected error", exc_info=error, extra={"fields": {"request_id": notes().call.request_id}})
        return answer(Internal())


def refuse_unacceptable(incoming: Request) -> None:
    """Refuse a request whose Accept header excludes JSON, before anything is done; pages and figures are no JSON."""
    if incoming.environ.get("HTTP_ACCEPT") in _USUALLY_ACCEPTED:
        return
    accepted = incoming.accept_mimetypes
    if not accepted or incoming.path.startswith(("/docs", "/metrics")):
        return
    if not (accepted["application/json"] or accepted[PROBLEM_TYPE]):
        raise NotAcceptable


def answer(error: GatewayError) -> Response:
    """Render an error for the present request."""
    if isinstance(error, BackendRejectedCredentials) and notes().call.credential is not None:
        error = Unauthenticated("The backend rejects the credential that was sent along.", context=error.context)
    noted = notes()
    noted.problem_code, noted.operation = error.code, error.operation
    status = _status(error)
    response = Response(
        json.dumps(render(error, status), ensure_ascii=False, separators=(",", ":")), status, content_type=PROBLEM_TYPE
    )
    if request.method in _WRITES:
        noted.outcome = error.outcome
    if (seconds := error.context.retry_after) is not None and (status in {429, 503}):
        response.headers["Retry-After"] = str(math.ceil(seconds))
    response.headers.update(_HEADERS.get(status, {}))
    return response


def render(error: GatewayError, status: int) -> dict[str, Any]:
    """Return the envelope: eight members always, the others where they apply; never a backend's words."""
    say, located = translation(), not _names_address(error)
    optional = {
        "errors": [_field(each, say) for each in error.errors or _usual(error)] if located else [],
        "upstream": _upstream(error),
        "permission": error.context.permission,
        "existing": error.existing,
        "diff": error.diff,
        "instance": f"/operations/{error.operation}" if error.operation else None,
    }
    return {
        "type": f"/errors#{error.code}",
        "title": say(error.title),
        "status": status,
        "detail": say(error.detail),
        "code": error.code,
        "outcome": _outcome(error).value,
        "retryable": error.retryable,
        **{name: value for name, value in optional.items() if value},
        "request_id": notes().call.request_id,
    }


def registry() -> list[dict[str, Any]]:
    """Describe every public error, sorted by code."""
    say = translation()
    return [
        {
            "code": code,
            "status": STATUS[code],
            "title": say(error.title),
            "outcome": error.outcome.value,
            "retryable": error.retryable,
            "meaning": say(error.description()),
        }
        for code, error in sorted(REGISTRY.items())
    ]


def _status(error: GatewayError) -> int:
    return 404 if _names_address(error) else STATUS[error.code]


def _names_address(error: GatewayError) -> bool:
    return error.code in _ADDRESSED and "module_id" in (request.view_args or {})


def _outcome(error: GatewayError) -> Outcome:
    """Return what became of the request: a read applies nothing, whatever goes wrong."""
    return error.outcome if request.method in _WRITES else Outcome.NOT_APPLIED


def _usual(error: GatewayError) -> tuple[FieldError, ...]:
    """Locate a mistake that always stands in the same place, where nobody has said more."""
    return (FieldError(error.pointer, error.code, error.title),) if error.pointer else ()


def _field(error: FieldError, say: Translate) -> dict[str, str]:
    told = {"pointer": error.pointer, "code": error.code, "detail": say(error.detail)}
    return told if error.allowed is None else {**told, "allowed": say(error.allowed)}


def _upstream(error: GatewayError) -> dict[str, Any] | None:
    fault = error.context.failure
    if fault is None:
        return None
    told = {"backend": fault.backend, "status": fault.status, "code": fault.code, "request_id": fault.request_id}
    return {name: value for name, value in told.items() if value is not None}
