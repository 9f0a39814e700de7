"""The twin's Flask application: routes, authentication, error handlers, and the faults of ProjectMan.

Source of the faults: facts, sections 3 and 4.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from flask import Flask, Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.twins.faults.fault_types import AUTHENTICATED_REQUESTS, RESPONSE, FaultType, effect_params
from gateway.twins.faults.injector import CONTROL_ENDPOINTS, FaultInjector, FaultProfile, ResponseFactory, skewed_clock
from gateway.twins.faults.rules import InvalidRuleError
from gateway.twins.projectman.auth import authenticate
from gateway.twins.projectman.errors import ApigError, ProjectManError, api_not_found, body_too_large
from gateway.twins.projectman.seed import SeedInvalidError, load_seed
from gateway.twins.projectman.store import Store
from gateway.twins.projectman.views import Views

MAX_BODY_BYTES: Final = 12 * 1024 * 1024  # the API gateway's limit

# Operation, which is a method of Views → method and path. ProjectMan has no operation that reads one module.
ROUTES: Final[Mapping[str, tuple[str, str]]] = {
    "create_module": ("POST", "/v4/projects/<project_id>/module"),  # singular, unlike the three below
    "list_modules": ("GET", "/v4/projects/<project_id>/modules"),
    "update_module": ("PUT", "/v4/projects/<project_id>/modules/<module_id>"),
    "delete_module": ("DELETE", "/v4/projects/<project_id>/modules/<module_id>"),
    "list_projects": ("GET", "/v4/projects"),
    "list_members": ("GET", "/v4/projects/<project_id>/members"),
    "show_user": ("GET", "/v4/user"),
    "issue_token": ("POST", "/v3/auth/tokens"),
    "list_iam_projects": ("GET", "/v3/projects"),
    "show_ledger": ("GET", "/twin/ledger"),
    "show_requests": ("GET", "/twin/requests"),
    "reset": ("POST", "/twin/reset"),
    "set_access_keys": ("PUT", "/twin/access_keys"),
    "set_passwords": ("PUT", "/twin/passwords"),
}
UNCOUNTED_ENDPOINTS: Final = CONTROL_ENDPOINTS | {
    "show_ledger",
    "show_requests",
    "reset",
    "set_access_keys",
    "set_passwords",
}
PUBLIC_ENDPOINTS: Final = UNCOUNTED_ENDPOINTS | {"issue_token"}

OPERATION_KIND: Final = {
    "create_module": "create",
    "update_module": "update",
    "delete_module": "delete",
    "list_modules": "list",
    "issue_token": "token",
    "list_projects": "other",
    "list_members": "other",
    "show_user": "other",
    "list_iam_projects": "other",
}

FAULT_TYPES: Final = (
    FaultType("gateway-timeout", RESPONSE, "APIGW.0201, 504: timeout of the API gateway", effect_params("never")),
    FaultType("busy", RESPONSE, "PM.02175000, 400: the service is busy", effect_params("never")),
    FaultType("rate-limited", RESPONSE, "PM.02153001, 400: the rate limit of the service"),
    FaultType("gateway-rate-limited", RESPONSE, "APIGW.0308, 429: the rate limit of the API gateway"),
    FaultType(
        "token-expired",
        "token-expired",
        "all tokens issued so far expire (APIGW.0307); applies to requests with a token only",
        applies_to=AUTHENTICATED_REQUESTS,
    ),
)

FAULT_ERRORS: Final[Mapping[str, ProjectManError]] = {
    "gateway-timeout": ApigError(504, "APIGW.0201", "Backend timeout."),
    "busy": ProjectManError(400, "PM.02175000", "系统繁忙,请稍后再试"),
    "rate-limited": ProjectManError(400, "PM.02153001", "访问频率过高,请稍后再试"),
    "gateway-rate-limited": ApigError(
        429,
        "APIGW.0308",
        "The throttling threshold has been reached: policy user over ratelimit,limit:100,time:1 minute",
    ),
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_twin(seed: Mapping[str, object] | None = None, *, clock: Callable[[], datetime] = _utc_now) -> Flask:
    """Create a twin from a seed (see `seed.py`), whose key `faults` may hold fault rules.

    `clock` returns an aware datetime. Raises SeedInvalidError.
    """
    app = Flask("projectman", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.merge_slashes = False  # a path with a double slash is not found, instead of redirected
    parts = dict(seed or {})
    rules = parts.pop("faults", ())
    store = Store(load_seed(parts), skewed_clock(clock))
    views = Views(store)
    for operation, (method, path) in ROUTES.items():
        view = getattr(views, operation)
        app.add_url_rule(path, operation, view, methods=[method], provide_automatic_options=False)
    app.after_request(_add_request_ids)
    try:
        injector = FaultInjector(app, _fault_profile(store), rules)
    except InvalidRuleError as error:
        raise SeedInvalidError(f"faults: {error}") from error
    app.before_request(lambda: _before_operation(store, injector))
    app.register_error_handler(ProjectManError, _error_response)
    app.register_error_handler(404, lambda _: _error_response(api_not_found()))
    app.register_error_handler(405, lambda _: _error_response(api_not_found()))
    app.register_error_handler(RequestEntityTooLarge, lambda _: _error_response(body_too_large()))
    return app


def _fault_profile(store: Store) -> FaultProfile:
    return FaultProfile(
        operations=OPERATION_KIND,
        name_field="module_name",
        rule_error=ProjectManError,
        fault_types=FAULT_TYPES,
        responses={name: _fault_response(error) for name, error in FAULT_ERRORS.items()},
        side_effects={"token-expired": store.expire_tokens},
    )


def _fault_response(error: ProjectManError) -> ResponseFactory:
    return lambda _: _error_response(error)


def _before_operation(store: Store, injector: FaultInjector) -> None:
    """Count the request, apply faults and authenticate: a fault of the network comes before authentication."""
    operation = request.endpoint
    if operation not in UNCOUNTED_ENDPOINTS:
        store.count_request(operation or "not_published")
    injector.before_operation(operation)
    if operation is not None and operation not in PUBLIC_ENDPOINTS:
        g.user = authenticate(store.access_keys, store.tokens, request)


def _add_request_ids(response: Response) -> Response:
    response.headers["X-Request-Id"] = _request_id()
    if request.path.startswith("/v3/"):
        response.headers["X-IAM-Trace-Id"] = _request_id()
    return response


def _error_response(error: ProjectManError) -> Response:
    body = json.dumps(error.body(_request_id()), ensure_ascii=False)
    return Response(body, status=error.status, content_type="application/json;charset=UTF-8")


def _request_id() -> str:
    """Return ProjectMan's own id of this request; the caller's X-Request-Id is not used."""
    if "request_id" not in g:
        g.request_id = uuid4().hex
    return str(g.request_id)
