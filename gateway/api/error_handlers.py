"""Errors as HTTP: their status, their headers and the problem document (RFC 9457)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flask import Flask, Request, Response, got_request_exception, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.http import parse_list_header, parse_options_header

from gateway.api.context import RequestContext, request_context
from gateway.api.i18n import Language, get_language
from gateway.api.json_body import JSON_TYPE, MAX_BODY_BYTES, MAX_PARSED_HEADER
from gateway.api.responses import json_response
from gateway.api.schemas.responses import ProblemSchema
from gateway.domain.errors import (
    FIELD_ERROR_CODES,
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
from gateway.domain.messages import message

_log: Final = logging.getLogger("gateway.api")
_PROBLEM: Final = ProblemSchema()
PROBLEM_TYPE: Final = "application/problem+json"
#: By error code.
HTTP_STATUS: Final = {
    "backend_error": 502,
    "backend_misconfigured": 502,
    "backend_permission_denied": 403,
    "backend_read_only": 503,
    "backend_rejected_credentials": 502,
    "backend_reply_invalid": 502,
    "backend_timeout": 504,
    "backend_unavailable": 503,
    "backend_unknown": 422,
    "built_in_protected": 409,
    "changes_expired": 410,
    "circuit_open": 503,
    "create_in_progress": 409,
    "description_required": 422,
    "draining": 503,
    "forbidden": 403,
    "idempotency_key_invalid": 400,
    "idempotency_key_reused": 422,
    "immutable_field": 422,
    "internal": 500,
    "invalid_json": 400,
    "journal_unavailable": 503,
    "limit_exceeded": 409,
    "malformed_request": 400,
    "method_not_allowed": 405,
    "module_already_exists": 409,
    "module_busy": 409,
    "module_exists_differently": 409,
    "module_not_empty": 409,
    "module_not_found": 404,
    "not_acceptable": 406,
    "not_found": 404,
    "not_supported": 404,
    "operation_not_found": 404,
    "operation_not_resolvable": 409,
    "outcome_ambiguous": 504,
    "outcome_unknown": 504,
    "overloaded": 503,
    "owner_not_found": 422,
    "parent_not_found": 422,
    "payload_too_large": 413,
    "precondition_failed": 412,
    "rate_limited": 429,
    "request_timeout": 408,
    "scope_not_found": 422,
    "template_managed": 409,
    "unauthenticated": 401,
    "unique_field_conflict": 409,
    "unsupported_field": 422,
    "unsupported_media_type": 415,
    "update_not_kept": 409,
    "validation_failed": 422,
}
#: Statuses that HTTP defines for some causes of `malformed_request`, by the key of the message (RFC 9110, RFC 6585).
_MESSAGE_STATUS: Final = {"expectation_unsupported": 417, "headers_too_large": 431, "request_line_too_long": 414}
#: 404 if the scope or parent is part of the path, otherwise an error of a field.
_PATH_NOT_FOUND: Final = frozenset({"scope_not_found", "parent_not_found"})
_PATH_PARAMETERS: Final = frozenset({"module_id", "scope"})
#: Headers by status: how to authenticate, and Envoy's mark of a rate limit, which it counts and retries separately.
_STATUS_HEADERS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": 'Bearer realm="module-gateway"'},
    429: {"x-envoy-ratelimited": "true"},
}
_RETRY_AFTER_STATUSES: Final = frozenset({409, 429, 503, 504})
#: Retry-After of a retryable error without a time of its own, in seconds.
_DEFAULT_RETRY_AFTER: Final = 1.0
#: Accept headers that need no parsing.
_COMMON_ACCEPT_HEADERS: Final = frozenset({"*/*", JSON_TYPE})
#: For both media types of responses, the ranges that include them, the most specific first (RFC 9110, section 12.5.1);
#: `*` alone is sent by old Java clients.
_RANGES: Final = (
    (JSON_TYPE, "application/*+json", "application/*", "*/*", "*"),
    (PROBLEM_TYPE, "application/*+json", "application/*", "*/*", "*"),
)
_ACCEPT_EXEMPT_PATHS: Final = ("/console", "/docs", "/livez", "/metrics", "/readyz")
_METHODS_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE"})
_WRITE_METHODS: Final = frozenset({"POST", "PATCH", "PUT", "DELETE"})
_ERROR_BY_HTTP_STATUS: Final[Mapping[int | None, type[GatewayError]]] = {
    400: InvalidJson,
    404: NotFound,
    405: MethodNotAllowed,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
}


def init_app(app: Flask) -> None:
    """Register the handlers that answer every error with a problem document."""

    @app.errorhandler(GatewayError)
    def handle_gateway_error(error: GatewayError) -> Response:
        return problem_response(error)

    @app.errorhandler(HTTPException)
    def handle_http_exception(error: HTTPException) -> Response:
        methods = ", ".join(sorted(getattr(error, "valid_methods", None) or ()))
        detail = None
        if methods:
            detail = message("method_not_allowed", path=request.path, method=request.method, methods=methods)
        elif isinstance(error, RequestEntityTooLarge):
            detail = message("payload_too_large", maximum=MAX_BODY_BYTES)
        response = problem_response(_ERROR_BY_HTTP_STATUS.get(error.code, Internal)(detail))
        if methods:
            response.headers["Allow"] = methods
        return response

    @app.errorhandler(Exception)
    def handle_unexpected(error: Exception) -> Response:
        # Flask sends the signal only for an exception without a handler; error trackers depend on it.
        got_request_exception.send(app, exception=error)
        log_fields = {"request_id": request_context().call.request_id}
        _log.error("unexpected error", exc_info=error, extra={"fields": log_fields})
        return problem_response(Internal())


def check_accept(incoming: Request) -> None:
    """Raise NotAcceptable if the Accept header excludes JSON; probes, metrics and the documentation are exempt."""
    header = incoming.environ.get("HTTP_ACCEPT")
    if header is None or header in _COMMON_ACCEPT_HEADERS or len(header) > MAX_PARSED_HEADER:
        return
    if incoming.path.startswith(_ACCEPT_EXEMPT_PATHS):
        return
    qualities: dict[str, float] = {}
    for item in parse_list_header(header):
        media_type, parameters = parse_options_header(item)
        quality = _parse_quality(parameters.get("q", "1"))
        qualities[media_type.lower()] = max(quality, qualities.get(media_type.lower(), 0.0))
    if qualities and not any(_quality_of(ranges, qualities) for ranges in _RANGES):
        raise NotAcceptable(message("accept_expected", accept=header, media_types=f"{JSON_TYPE}, {PROBLEM_TYPE}"))


def _parse_quality(text: str) -> float:
    """Return a quality; a malformed one counts as 1, and `.2`, which old Java clients send, as 0.2."""
    try:
        return float(text)
    except ValueError:
        return 1.0


def _quality_of(ranges: Sequence[str], qualities: Mapping[str, float]) -> float:
    """Return the quality of the most specific range that the header contains; 0 if it contains none."""
    return next((qualities[media_range] for media_range in ranges if media_range in qualities), 0.0)


def problem_response(error: GatewayError) -> Response:
    """Return the response of an error, and record the error for the access log."""
    ctx = request_context()
    error = to_public_error(error, has_credential=ctx.call.credential is not None)
    ctx.problem_code, ctx.operation, ctx.module = error.code, error.operation, ctx.module or error.existing
    if request.method in _WRITE_METHODS:
        ctx.outcome = error.outcome
    status = 404 if _refers_to_path(error) else HTTP_STATUS[error.code]
    if error.message is not None:
        status = _MESSAGE_STATUS.get(error.message.key, status)
    headers = dict(_STATUS_HEADERS.get(status, {}))
    seconds = error.context.retry_after
    if seconds is None and error.retryable:
        seconds = _DEFAULT_RETRY_AFTER
    if seconds is not None and status in _RETRY_AFTER_STATUSES:
        headers["Retry-After"] = str(math.ceil(seconds))
    if error.etag is not None:
        headers["ETag"] = f'"{error.etag}"'
    document = _PROBLEM.dump(problem_document(error, status, ctx))
    return json_response(document, status, headers, content_type=PROBLEM_TYPE)


def to_public_error(error: GatewayError, *, has_credential: bool) -> GatewayError:
    """Return the error that a caller gets: a credential of its own that was rejected is not the gateway's fault."""
    if isinstance(error, BackendRejectedCredentials) and has_credential:
        return Unauthenticated(message("passthrough_credential_rejected"), context=error.context)
    return error


def problem_document(error: GatewayError, status: int, ctx: RequestContext) -> dict[str, Any]:
    """Return the values of the problem document; it never contains a backend's message."""
    language = get_language()
    refers_to_path = _refers_to_path(error)
    field_errors = () if refers_to_path else error.errors or _default_field_errors(error)
    values = _detail_values(ctx)
    errors = [_serialize_field_error(field_error, language, values) for field_error in field_errors]
    if refers_to_path:
        detail = language.text(message("path_not_found", id=values["id"]))
    else:
        names = [field_error.get("pointer") or field_error["parameter"] for field_error in errors]
        detail = language.detail(error, {**values, "count": len(names), "fields": names} if names else values)
    optional_members = {
        "errors": errors,
        "upstream": _serialize_upstream(error),
        "permission": error.context.permission,
        "existing": error.existing,
        "etag": error.etag,
        "diff": error.diff,
        "instance": f"{ctx.mount_point}/operations/{error.operation}" if error.operation else None,
    }
    return {
        "type": f"{ctx.mount_point}/errors#{error.code}",
        "title": language.titles[error.code],
        "status": status,
        "detail": detail,
        "code": error.code,
        "outcome": _request_outcome(error).value,
        "retryable": error.retryable,
        **{name: value for name, value in optional_members.items() if value},
        "request_id": ctx.call.request_id,
    }


def error_catalog() -> dict[str, list[dict[str, Any]]]:
    """Return the description of every public error and of every code of `errors[]`, sorted by code."""
    language = get_language()
    field_errors = [
        {"code": code, "meaning": language.messages[f"field_code_{code}"]} for code in sorted(FIELD_ERROR_CODES)
    ]
    errors = [
        {
            "code": code,
            "status": HTTP_STATUS[code],
            "title": language.titles[code],
            "outcome": " or ".join(error_class.outcomes or (error_class.outcome,)),
            "retryable": error_class.retryable,
            "meaning": language.descriptions[code],
        }
        for code, error_class in sorted(REGISTRY.items())
    ]
    return {"errors": errors, "field_errors": field_errors}


def _refers_to_path(error: GatewayError) -> bool:
    """Return whether the error is about the id or scope in the path, and not about a field of the request."""
    return error.code in _PATH_NOT_FOUND and not _PATH_PARAMETERS.isdisjoint(request.view_args or {})


def _request_outcome(error: GatewayError) -> Outcome:
    """Return the error's outcome for a write; a read applies nothing, whatever the error."""
    return error.outcome if request.method in _WRITE_METHODS else Outcome.NOT_APPLIED


def _default_field_errors(error: GatewayError) -> tuple[FieldError, ...]:
    """Return the field error of an error that always concerns one field, its `pointer`."""
    return (FieldError(error.pointer, error.code),) if error.pointer else ()


def _detail_values(ctx: RequestContext) -> Mapping[str, object]:
    """Return the values of the request that details of errors name."""
    return {
        "path": request.path,
        "key": request.headers.get("Idempotency-Key", ""),
        "id": next(iter((request.view_args or {}).values()), ""),
        **ctx.values,
    }


def _serialize_field_error(error: FieldError, language: Language, values: Mapping[str, object]) -> dict[str, str]:
    """Return a field error; without a body, the values are those of the query."""
    name = error.pointer.partition("/")[2]
    if error.in_query or request.method in _METHODS_WITHOUT_BODY:
        place = {"in": "query", "parameter": name.replace("~1", "/").replace("~0", "~")}
    else:
        place = {"pointer": error.pointer}
    members = {**place, "code": error.code, "detail": language.detail(error, values)}
    return members if error.allowed is None else {**members, "allowed": language.text(error.allowed)}


def _serialize_upstream(error: GatewayError) -> dict[str, Any] | None:
    failure = error.context.failure
    if failure is None:
        return None
    members = {
        "backend": failure.backend,
        "status": failure.status,
        "code": failure.code,
        "request_id": failure.request_id,
    }
    return {name: value for name, value in members.items() if value is not None}
