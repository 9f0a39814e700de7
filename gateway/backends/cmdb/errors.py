"""The error codes of CMDB, ESB and API gateway, the errors that they mean, and how they are read from a response.

Sources: src/common/errInfo.go with resources/errors (CMDB), common/errors.py (ESB), bk-core/errorx.lua (API gateway).
A key is a code, `code:word` (a language-independent word of the message), `operation:code` or `@status`.
`unknown_on_write`: the code is also returned after a write was applied, so it proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.domain.error_mapping import ErrorRule, ErrorTable, UpstreamFailure, field_error, unknown_on_write
from gateway.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendPermissionDenied,
    BackendRejectedCredentials,
    BackendUnavailable,
    BuiltInProtected,
    GatewayError,
    ImmutableField,
    ModuleAlreadyExists,
    ModuleNotEmpty,
    ModuleNotFound,
    ParentNotFound,
    PayloadTooLarge,
    RateLimited,
    ScopeNotFound,
    TemplateManaged,
    UniqueFieldConflict,
    ValidationFailed,
)
from gateway.transport import UpstreamResponse

_CMDB: Final[dict[str, type[GatewayError] | ErrorRule]] = {
    "1101000": unknown_on_write(BackendError),  # Failed to create instance
    "1101003": unknown_on_write(BackendError),  # Querying instance data failed
    "1101007": BackendError,  # Query model failed
    "1101030": ModuleNotEmpty,  # Having hosts under the target, deleting forbidden
    "1101075": ModuleNotEmpty,  # the inst has association
    "1101084": BackendMisconfigured,  # the model stopped to use
    "1101086": BackendUnavailable,  # get authorized business list failed
    "1101090": field_error("/attributes/service_category_id", ImmutableField),  # … module create by template forbidden
    "1101091": field_error("/name", ImmutableField),  # update name field on module create by template forbidden
    "1101097": TemplateManaged,  # forbidden add/remove module on set initialized by set template
    "1101098": BuiltInProtected,  # forbidden remove or update built in set or module
    "1101099": ModuleAlreadyExists,  # the same module name exist (up to 3.9)
    "1101164": BackendError,  # model property [%s] has been removed
    "1101166": BackendError,  # unique constrains key kind [%s] invalid
    "1108034": BackendUnavailable,  # get default service category failed
    "1108036": field_error(
        "/attributes/service_category_id", ValidationFailed
    ),  # service template and category not conincide
    "1109001": unknown_on_write(BackendUnavailable),  # save audit log failed
    "1109005": unknown_on_write(BackendUnavailable),  # generate audit log failed
    "1199000": ValidationFailed,  # Deserializing JSON data failed
    "1199002": unknown_on_write(BackendUnavailable),  # HTTP request failed (topo_server to coreservice)
    "1199004": unknown_on_write(BackendUnavailable),  # Data read failed
    "1199006": ValidationFailed,  # '%s' data parameter verification does not pass
    "1199007": ValidationFailed,  # '%s' must be a string type
    "1199009": ValidationFailed,  # '%s' parameters must be integral
    "1199010": ValidationFailed,  # '%s' unassigned
    "1199011": ValidationFailed,  # '%s' the parameter is invalid or does not exist
    "1199011:bk_biz_id": ScopeNotFound,
    "1199011:bk_biz_id/bk_set_id": ParentNotFound,
    "1199011:bk_set_id": ParentNotFound,
    "1199014": UniqueFieldConflict,  # duplicated instances exist, fields [%s] duplicated
    "1199014:bk_module_name": ModuleAlreadyExists,
    "1199015": ValidationFailed,  # Data out of bounds
    "1199016": ValidationFailed,  # '%s' Field regular check failed
    "1199017": unknown_on_write(BackendUnavailable),  # Failed to query data
    "1199018": unknown_on_write(BackendUnavailable),  # New data failed
    "1199019": ModuleNotFound,  # No relevant data found
    "1199020": unknown_on_write(BackendUnavailable),  # Failed to update data
    "1199021": unknown_on_write(BackendUnavailable),  # Failed to delete data
    "1199027": BackendRejectedCredentials,  # '%s' authorization information query failed (no user; with HTTP 500)
    "1199035": ValidationFailed,  # %s exceed the limit %d
    "1199038": ValidationFailed,  # need data %s is null
    "1199037": BackendMisconfigured,  # the path matches no route (3.9, with HTTP 500)
    "1199045": BackendMisconfigured,  # no matched rules (the path matches no route)
    "1199046": BackendUnavailable,  # Authorize request failed.
    "1199047": BackendPermissionDenied,  # Do not have access permission.
    "1199048": BackendPermissionDenied,  # Permission Denied
    "1199052": BackendError,  # get multiple objects
    "1199061": BackendUnavailable,  # parse db data failed (before the update)
    "1199065": BackendUnavailable,  # start transaction failed
    "1199066": unknown_on_write(
        BackendUnavailable
    ),  # commit transaction failed; retry transaction exceeds maximum count
    "1199067": unknown_on_write(BackendUnavailable),  # abort transaction failed
    "1199073": field_error("/name", ValidationFailed),  # %s field exceeds maximum value %s: only names have this limit
    "1199083": ImmutableField,  # modify field %s forbidden
    "1199089": ValidationFailed,  # the length of array %s is wrong
    "1199997": RateLimited,  # too many requests (inside HTTP 200)
    "1199998": unknown_on_write(BackendError),  # Unknown or unrecognized error; proxy request failed
    "1199998:app is not verified": BackendRejectedCredentials,
    "1199998:rewrite request failed": BackendUnavailable,  # no topo_server to forward to
    "1199998:user is not set": BackendRejectedCredentials,
    "1199999": unknown_on_write(BackendError),  # Internal Server Error (a panic)
    "9900403": BackendPermissionDenied,  # CCNoPermission, accompanied by `permission`
    "404": BackendMisconfigured,  # topo_server's plain text for an unknown path, with HTTP 200
    "405": BackendMisconfigured,  # topo_server's plain text for an unknown method
    "create:1199019": BackendError,  # business, set or service category: error_refinement.py reads which
    "template:1199019": field_error("/attributes/service_template_id", ValidationFailed),
}

_ESB: Final[dict[str, type[GatewayError] | ErrorRule]] = {
    "1306000": unknown_on_write(
        BackendError
    ),  # forms, authentication, components and non-JSON responses share this code
    "1306000:APP authentication failed": BackendRejectedCredentials,
    "1306000:APP Secret verification failed": BackendRejectedCredentials,  # esb/bkcore/… validators.py
    "1306000:Invalid APP Code": BackendRejectedCredentials,
    "1306000:User authentication failed": BackendRejectedCredentials,
    "1306000:bk_app_code": BackendRejectedCredentials,  # APP Code [bk_app_code] cannot be empty
    "1306000:bk_app_secret": BackendRejectedCredentials,
    "1306000:bk_biz_id": field_error("/scope", ValidationFailed),  # business id [bk_biz_id] Enter a whole number.
    "1306000:bk_module_id": ValidationFailed,
    "1306000:bk_set_id": field_error("/parent", ValidationFailed),  # set id [bk_set_id] This field is required.
    "1306000:data": ValidationFailed,  # data [data] Must be the specified parameter data type dict
    "1306000:valid user identity": BackendRejectedCredentials,  # Please provide a valid user identity
    "1306201": unknown_on_write(BackendUnavailable),  # REQUEST_THIRD_PARTY_ERROR: response time exceeds 30 seconds
    "1306203": BackendMisconfigured,  # SSL
    "1306206": BackendMisconfigured,  # HOST_NOT_FOUND
    "1306207": BackendMisconfigured,  # BLOCKED
    "1306208": BackendMisconfigured,  # RESULT_ERROR
    "1306209": BackendMisconfigured,  # METHOD
    "1306401": BackendRejectedCredentials,  # OPERATOR_REQUIRED
    "1306402": BackendPermissionDenied,  # USER_PERMISSION_DENIED
    "1306403": BackendRejectedCredentials,  # APP_PERMISSION_DENIED
    "1306404": BackendMisconfigured,  # COMPONENT_NOT_FOUND
    "1306405": BackendMisconfigured,  # INACTIVE_CHANNEL
    "1306406": ValidationFailed,  # ARGUMENT_ERROR: Parameters error, param bk_biz_id is required
    "1306407": ValidationFailed,  # BUFFET_CANNOT_FORMAT_PATH
    "1306408": BackendRejectedCredentials,  # APIGW_ERROR: gateway JWT invalid
    "1306429": RateLimited,  # RATE_LIMIT_RESTRICTION
}

_API_GATEWAY: Final[dict[str, type[GatewayError] | ErrorRule]] = {
    "1640001": BackendRejectedCredentials,  # INVALID_ARGS: also for users that cannot be authenticated
    "1640001:bk_app_secret is incorrect": BackendRejectedCredentials,  # bk_app_code or bk_app_secret is incorrect
    "1640004": BackendRejectedCredentials,  # JWT_VERIFY_FAILED
    "1640100": BackendRejectedCredentials,  # UNAUTHORIZED
    "1640101": BackendRejectedCredentials,  # APP_VERIFY_FAILED
    "1640102": BackendRejectedCredentials,  # USER_VERIFY_FAILED
    "1640301": BackendRejectedCredentials,  # APP_NO_PERMISSION
    "1640302": BackendRejectedCredentials,  # CROSS_TENANT_FORBIDDEN, IP_NOT_ALLOWED
    "1640303": BackendRejectedCredentials,  # BK_USER_NOT_ALLOWED
    "1640304": BackendRejectedCredentials,  # BK_TENANT_NOT_ALLOWED
    "1640401": BackendMisconfigured,  # API_NOT_FOUND
    "1641301": PayloadTooLarge,  # BODY_SIZE_LIMIT_EXCEED
    "1641401": PayloadTooLarge,  # URI_SIZE_LIMIT_EXCEED
    "1642901": RateLimited,  # RATE_LIMIT_RESTRICTION (global)
    "1642902": RateLimited,  # RATE_LIMIT_RESTRICTION (stage)
    "1642903": RateLimited,  # RATE_LIMIT_RESTRICTION (resource)
    "1642904": RateLimited,  # CONCURRENCY_LIMIT_RESTRICTION
    "1650000": unknown_on_write(BackendUnavailable),  # REQUEST_RESOURCE_5xx
    "1650001": BackendUnavailable,  # INTERNAL_SERVER_ERROR: not forwarded
    "1650002": BackendMisconfigured,  # INVALID_RESOURCE_CONFIG
    "1650070": unknown_on_write(BackendError),  # UNKNOWN_ERROR
    "1650200": unknown_on_write(BackendUnavailable),  # BAD_GATEWAY
    "1650201": unknown_on_write(BackendUnavailable),  # ERROR_REQUESTING_RESOURCE
    "1650300": unknown_on_write(BackendUnavailable),  # SERVICE_UNAVAILABLE
    "1650401": unknown_on_write(BackendUnavailable),  # REQUEST_BACKEND_TIMEOUT
    "1650801": BackendMisconfigured,  # RECURSIVE_REQUEST_DETECTED
}

#: For reads that a proxy or ESB's web framework answers without a code, and for codes that no table contains.
_STATUS: Final[dict[str, type[GatewayError] | ErrorRule]] = {
    "@": unknown_on_write(BackendError),
    "@3xx": unknown_on_write(BackendMisconfigured),
    "@401": BackendRejectedCredentials,
    "@403": BackendPermissionDenied,
    "@404": BackendMisconfigured,
    "@405": BackendMisconfigured,
    "@408": unknown_on_write(BackendUnavailable),
    "@413": PayloadTooLarge,
    "@429": RateLimited,
    "@4xx": BackendError,
    "@5xx": unknown_on_write(BackendUnavailable),
}

#: CMDB's parameter names in messages, and the fields of the caller's request that they refer to.
_FIELD_POINTERS: Final = {
    "bk_bak_operator": "/attributes/bk_bak_operator",
    "bk_module_name": "/name",
    "bk_module_type": "/attributes/bk_module_type",
    "bk_parent_id": "/parent",
    "operator": "/owners",
    "service_category_id": "/attributes/service_category_id",
    "service_template_id": "/attributes/service_template_id",
}
_ARGUMENT_ERRORS: Final = ("1199006", "1199007", "1199009", "1199010", "1199011", "1199015", "1199016")
_FIELD_ERRORS: Final = {
    f"{code}:{word}": field_error(pointer, ValidationFailed)
    for code in _ARGUMENT_ERRORS
    for word, pointer in _FIELD_POINTERS.items()
}

#: A gateway that could not connect has not sent the request, whichever of its codes it reports that under.
_NOT_CONNECTED: Final = {
    f"{code}:connection refused": BackendUnavailable
    for code, rule in {**_ESB, **_API_GATEWAY}.items()
    if code.isdigit() and code != "1306000" and isinstance(rule, ErrorRule) and rule.unknown_on_write
}

#: The refusals of the application's own credentials; others refuse the user of one request.
_APP_REJECTED: Final = frozenset(
    {
        "1306000:APP authentication failed",
        "1306000:APP Secret verification failed",
        "1306000:Invalid APP Code",
        "1306000:bk_app_code",
        "1306000:bk_app_secret",
        "1640001:bk_app_secret is incorrect",
        "1640101",
    }
)

ERRORS: Final = ErrorTable({**_CMDB, **_ESB, **_API_GATEWAY, **_STATUS, **_FIELD_ERRORS, **_NOT_CONNECTED})

#: The language-independent words of messages: parameter names in quotes (CMDB) or brackets (ESB), and the fixed English
#: texts of ESB, API gateway and apiserver that distinguish refusals. Each alternative is linear in the message's size.
_MESSAGE_WORD: Final = re.compile(
    r"\[(bk_\w+|data)\]|'([a-z_]+(?:/[a-z_]+)*)'"
    r"|((?:APP|User) authentication failed|valid user identity|user is not set|app is not verified"
    r"|rewrite request failed|APP Secret verification failed|Invalid APP Code|bk_app_secret is incorrect)"
)
#: The fixed texts of Go, nginx and bk-error-wrapper (API gateway) for a connection that was not established.
_CONNECTION_REFUSED: Final = re.compile(
    r"connection refused|failed to connect to upstream|timed out(?: \([^)]{0,60}\))? while connecting", re.IGNORECASE
)
#: So many characters of the text of 1199014 are searched for fields, which bounds the time of the search.
_MAX_DUPLICATE_TEXT: Final = 2000
_QUOTED_VALUE: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
#: The id of a field in the text of 1199014, with its value or without; the fields' names, which are translated, are not
#: matched.
_FIELD_ID: Final = re.compile(r"\b([A-Za-z]\w*): |\b(bk_\w+)", re.ASCII)
#: A code has seven digits and starts with the number of its component: 11 CMDB, 13 ESB, 16 API gateway; or is 9900403.
_CODE: Final = re.compile(r"(?:1[1-9]|99)[0-9]{5}", re.ASCII)
_HEADER_CODE: Final = re.compile(rf"{_CODE.pattern}|404|405", re.ASCII)
#: In seconds; a Retry-After that is a date is ignored.
_RETRY_AFTER_HEADERS: Final = ("Retry-After", "X-Bkapi-RateLimit-Reset")
_REQUEST_ID_HEADERS: Final = ("X-Bkapi-Request-ID", "X-Request-Id", "Cc_Request_Id")


def parse_failure(
    response: UpstreamResponse,
    body: Mapping[str, Any],
    *,
    backend: str,
    operation: str,
    fallback_code: str | None,
) -> UpstreamFailure:
    """Read an envelope of either spelling: CMDB writes bk_error_code and bk_error_msg, the others code and message.

    `fallback_code` is used if the body has no code: the header of the API gateway, or the status with which the plain
    text of topo_server begins.
    """
    code = _parse_code(body.get("bk_error_code", body.get("code"))) or _parse_code(fallback_code, _HEADER_CODE)
    message = str(body.get("bk_error_msg", body.get("message", "")))
    is_name_duplicate = code == "1199014" and "bk_module_name" in duplicate_fields(message)
    permission = body.get("permission")
    return UpstreamFailure(
        backend=backend,
        operation=operation,
        is_write=response.is_write,
        status=response.status,
        code=code,
        word="bk_module_name" if is_name_duplicate else _parse_word(message),
        message=message,
        request_id=_request_id(response, body),
        retry_after=_retry_after(response),
        permission=permission if isinstance(permission, dict) else None,
    )


def is_app_rejected(error: GatewayError) -> bool:
    """Return whether CMDB's gateways have refused the application's code and secret; they relayed nothing then."""
    failure = error.context.failure
    return failure is not None and not _APP_REJECTED.isdisjoint(failure.lookup_keys())


def duplicate_fields(message: str) -> frozenset[str]:
    """Return the ids of the fields in the text of 1199014; empty if it has their translated names instead."""
    text = _QUOTED_VALUE.sub("", message[:_MAX_DUPLICATE_TEXT])
    return frozenset(with_value or without_value for with_value, without_value in _FIELD_ID.findall(text))


def field_pointer(field: str) -> str:
    """Return the JSON pointer to a field of CMDB in the caller's request."""
    return _FIELD_POINTERS.get(field, f"/attributes/{field}")


def _parse_code(value: Any, pattern: re.Pattern[str] = _CODE) -> str | None:
    """Return a code, which may be a number or text, as text; None for 0 and every other value that is no code."""
    text = str(value)
    return text if pattern.fullmatch(text) else None


def _parse_word(message: str) -> str | None:
    """Return the language-independent word of a message that the tables distinguish, if there is one."""
    if _CONNECTION_REFUSED.search(message):
        return "connection refused"
    match = _MESSAGE_WORD.search(message)
    return next(filter(None, match.groups())) if match else None


def _request_id(response: UpstreamResponse, body: Mapping[str, Any]) -> str | None:
    value = body.get("request_id") or next(filter(None, map(response.headers.get, _REQUEST_ID_HEADERS)), None)
    return value if isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]{1,128}", value) else None


def _retry_after(response: UpstreamResponse) -> float | None:
    return response.retry_after(*_RETRY_AFTER_HEADERS)
