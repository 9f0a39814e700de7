"""The error codes of ProjectMan, API Gateway and IAM, the errors that they mean, and how they are read from a response.

Source: the vendor's public error pages. Nearly every error has status 400, so the code decides before the status.
A key is a code, `code:word` (a language-independent word of the message), `code@status`, `operation:@status` or
`@status`. `unknown_on_write`: the code is also returned after a write was applied, so it proves nothing.
No code is published for a duplicate name, a missing parent or a missing module: see error_refinement.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.domain.error_mapping import ErrorRule, ErrorTable, UpstreamFailure, unknown_on_write
from gateway.domain.errors import (
    BackendError,
    BackendMisconfigured,
    BackendPermissionDenied,
    BackendRejectedCredentials,
    BackendUnavailable,
    GatewayError,
    LimitExceeded,
    ModuleAlreadyExists,
    OwnerNotFound,
    PayloadTooLarge,
    RateLimited,
    ScopeNotFound,
    ValidationFailed,
)
from gateway.transport import UpstreamResponse

_API_GATEWAY: Final[dict[str, type[GatewayError] | ErrorRule]] = {
    "APIGW.0101": BackendMisconfigured,  # The API does not exist or has not been published
    "APIGW.0103": BackendUnavailable,  # The backend does not exist
    "APIGW.0104": BackendUnavailable,  # The plug-in configuration is not found
    "APIGW.0105": BackendUnavailable,  # The backend configuration is not found
    "APIGW.0106": BackendUnavailable,  # Orchestration error
    "APIGW.0201": unknown_on_write(BackendError),  # API request error: the status distinguishes the causes
    "APIGW.0201@400": ValidationFailed,  # API request error
    "APIGW.0201@413": PayloadTooLarge,  # Request body too large
    "APIGW.0201@414": PayloadTooLarge,  # Request URI too large
    "APIGW.0201@494": PayloadTooLarge,  # Request headers too large
    "APIGW.0201@502": unknown_on_write(BackendUnavailable),  # Backend unavailable
    "APIGW.0201@504": unknown_on_write(BackendUnavailable),  # Backend timeout
    "APIGW.0203": unknown_on_write(BackendUnavailable),  # Backend timeout
    "APIGW.0301": BackendRejectedCredentials,  # Incorrect IAM authentication information
    "APIGW.0301:AK access failed": BackendUnavailable,  # …to reach the limit,forbidden: locked for five minutes
    "APIGW.0302": BackendPermissionDenied,  # The IAM user is not authorized to access the API
    "APIGW.0303": BackendRejectedCredentials,  # Incorrect app authentication information
    "APIGW.0304": BackendPermissionDenied,  # The app is not authorized to access the API
    "APIGW.0305": BackendRejectedCredentials,  # Incorrect authentication information
    "APIGW.0306": BackendPermissionDenied,  # API access denied
    "APIGW.0307": BackendRejectedCredentials,  # The token must be updated
    "APIGW.0308": RateLimited,  # The throttling threshold has been reached
    "APIGW.0310": BackendPermissionDenied,  # The project is unavailable
    "APIGW.0311": BackendRejectedCredentials,  # Incorrect debugging authentication information
    "APIGW.0401": BackendPermissionDenied,  # Unknown client IP address
    "APIGW.0402": BackendPermissionDenied,  # The IP address is not authorized to access the API
    "APIGW.0404": BackendPermissionDenied,  # Access to the backend IP address has been denied
    "APIGW.0501": LimitExceeded,  # The app quota has been used up
    "APIGW.0502": LimitExceeded,  # The app has been frozen
    "APIGW.0601": unknown_on_write(BackendUnavailable),  # Internal server error
    "APIGW.0602": ValidationFailed,  # Bad request
    "APIGW.0605": unknown_on_write(BackendUnavailable),  # Domain name resolution failed
    "APIGW.0606": unknown_on_write(BackendUnavailable),  # Failed to load the API configuration
    "APIGW.0607": BackendMisconfigured,  # The protocol is not supported
    "APIGW.0608": unknown_on_write(BackendUnavailable),  # Failed to obtain the admin token
    "APIGW.0609": unknown_on_write(BackendUnavailable),  # The VPC backend does not exist
    "APIGW.0610": BackendUnavailable,  # No backend available
    "APIGW.0611": unknown_on_write(BackendUnavailable),  # The backend port does not exist
    "APIGW.0612": unknown_on_write(BackendUnavailable),  # An API cannot call itself
    "APIGW.0613": BackendUnavailable,  # The IAM service is currently unavailable
    "APIGW.0705": unknown_on_write(BackendUnavailable),  # Backend signature calculation failed
    "APIGW.0801": BackendPermissionDenied,  # The service is unavailable in this region
    "APIGW.0802": BackendPermissionDenied,  # The IAM user is forbidden in the currently selected region
}

_PROJECTMAN: Final[dict[str, type[GatewayError] | ErrorRule]] = {
    "PM.00000001": unknown_on_write(BackendError),  # meaning unsure: 网络繁忙 or 无权限
    "PM.00000014": BackendPermissionDenied,  # no permission
    "PM.02150010": OwnerNotFound,  # 用户不是项目成员
    "PM.02152001": ValidationFailed,  # 参数错误: {0}
    "PM.02152002": BackendError,  # undefined error
    "PM.02152003": ValidationFailed,  # 参数错误: {0}
    "PM.02152005": ScopeNotFound,  # the project does not exist or was deleted
    "PM.02153001": RateLimited,  # 访问频率过高,请稍后再试 (a 400)
    "PM.02174103": ValidationFailed,  # 分页参数错误
    "PM.02175000": unknown_on_write(BackendUnavailable),  # 系统繁忙,请稍后再试 (a 400)
    "PM.02175006": ValidationFailed,  # 参数错误: {0}
    "PM.02175101": LimitExceeded,  # number of sub items exceeds {0}
    "PM.02175301": unknown_on_write(BackendError),  # meaning unsure
    "PM.02177003": OwnerNotFound,  # 非目标项目成员
    "PM.02303005": unknown_on_write(BackendError),  # meaning unsure
    "PM.10001002": BackendRejectedCredentials,  # 不合法的token
    "PM.10002006": ModuleAlreadyExists,  # name already used in tenant
}

#: For IAM's responses, for reads that are answered without a code, and for codes that no table contains.
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
    "token:@400": BackendRejectedCredentials,  # Keystone: invalid request body
    "token:@401": BackendRejectedCredentials,  # Keystone: The username or password is wrong.
    "token:@403": BackendRejectedCredentials,  # Keystone: no programmatic access
    "token:@404": BackendRejectedCredentials,  # Keystone: no such project or domain
}

ERRORS: Final = ErrorTable({**_API_GATEWAY, **_PROJECTMAN, **_STATUS})

#: The token has expired: API Gateway refuses the request before the service receives it.
TOKEN_EXPIRED: Final = frozenset(
    {"APIGW.0307", "APIGW.0301:token expires", "APIGW.0301:decrypt token fail", "PM.10001002"}
)

_AUTHENTICATION_FAILED: Final = "APIGW.0301"
_MESSAGE_WORD: Final = re.compile(r"(token expires|decrypt token fail|AK access failed)")
_THROTTLE_LIMIT: Final = re.compile(r"limit:[0-9]+,time:([0-9]{1,6}) ?(second|minute|hour|day)", re.ASCII)
_UNIT_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
#: How long API Gateway locks an access key after too many wrong signatures.
_LOCKED_SECONDS: Final = 300.0
#: The service's own rate limit states no time; one second is the shortest period of the API gateway's limits.
_DEFAULT_RETRY_AFTER: Final = {"PM.02153001": 1.0}
#: A code of the service or of one of its family, such as PM.02152001, APIGW.0301 or DEV.CH.10001.
_CODE: Final = re.compile(r"[A-Z]{2,8}(?:\.[A-Z]{2,8})*\.[A-Z]{0,3}[0-9]{4,9}", re.ASCII)
#: The keys of code and message, which differ between services.
_ERROR_KEYS: Final = (("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message"))


def is_token_expired(error: GatewayError) -> bool:
    """Return whether a new token would be accepted."""
    failure = error.context.failure
    return failure is not None and not TOKEN_EXPIRED.isdisjoint(failure.lookup_keys())


def is_key_rejected(error: GatewayError) -> bool:
    """Return whether the API gateway has refused or locked the access key; the service received nothing then."""
    failure = error.context.failure
    if failure is None or failure.code is None:
        return False
    return failure.code == _AUTHENTICATION_FAILED or isinstance(error, BackendRejectedCredentials)


def contains_error(body: Any) -> bool:
    """Return whether the body of a response with status 2xx describes an error."""
    if not isinstance(body, dict):
        return False
    return not body.keys().isdisjoint({"error_code", "errorCode", "error"}) or body.get("status") in {"error", "failed"}


def parse_failure(response: UpstreamResponse, backend: str, operation: str) -> UpstreamFailure:
    """Read an error response in any of the four documented shapes; every other shape has no code."""
    body = response.json()
    members: Mapping[str, Any] = body if isinstance(body, dict) else {}
    nested = members.get("error")
    code, message = _parse_code_and_message(nested if isinstance(nested, dict) else members)
    word = _MESSAGE_WORD.search(message)
    headers = response.headers
    return UpstreamFailure(
        backend=backend,
        operation=operation,
        is_write=response.is_write,
        status=response.status,
        code=code,
        word=word[1] if word else None,
        message=message,
        request_id=_request_id(headers.get("X-Request-Id"), headers.get("X-IAM-Trace-Id"), members.get("request_id")),
        retry_after=_retry_after(response, code, message),
    )


def _parse_code_and_message(members: Mapping[str, Any]) -> tuple[str | None, str]:
    for code_key, message_key in _ERROR_KEYS:
        code = members.get(code_key)
        if isinstance(code, str) and _CODE.fullmatch(code):
            # API Gateway writes some of its codes with the prefix APIG.
            return re.sub(r"^APIG\.", "APIGW.", code), str(members.get(message_key, ""))
    return None, str(members.get("message", ""))


def _request_id(*values: Any) -> str | None:
    """Return the first value that is a request id."""
    return next(
        (value for value in values if isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]{1,128}", value)), None
    )


def _retry_after(response: UpstreamResponse, code: str | None, message: str) -> float | None:
    """Return the seconds to wait that the header or, without it, the message or the code tell."""
    if (seconds := response.retry_after()) is not None:
        return seconds
    if (throttle := _THROTTLE_LIMIT.search(message)) is not None:
        return float(throttle[1]) * _UNIT_SECONDS[throttle[2]]
    return _LOCKED_SECONDS if "AK access failed" in message else _DEFAULT_RETRY_AFTER.get(code or "")
