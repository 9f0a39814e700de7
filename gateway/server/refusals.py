"""Errors of requests that the application does not see, or not completely.

Only workers import this module, and only when such an error occurs: gunicorn's master must not load the application.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from gunicorn.http import errors

from gateway.domain.errors import (
    GatewayError,
    Internal,
    InvalidJson,
    MalformedRequest,
    NotFound,
    Overloaded,
    RequestTimeout,
)
from gateway.domain.messages import Message, message

_log: Final = logging.getLogger("gateway.server")
#: A header of the response is invalid: a bug of the application.
_APPLICATION_ERRORS: Final = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)
_HEADER_MALFORMED: Final = message("header_malformed")
#: What gunicorn's parser refuses. Any other of its errors is about the request line.
_MESSAGES: Final[Mapping[type[Exception], Message]] = {
    errors.ExpectationFailed: message("expectation_unsupported"),
    errors.InvalidHeader: _HEADER_MALFORMED,
    errors.InvalidHeaderName: _HEADER_MALFORMED,
    errors.ObsoleteFolding: _HEADER_MALFORMED,
    errors.UnsupportedTransferCoding: message("transfer_coding_unsupported"),
}


def refusal(error: BaseException, settings: Any, remote: str) -> GatewayError:
    """Return the error of the response for an error that gunicorn has caught; `settings` are gunicorn's limits.

    The texts of gunicorn's errors are neither logged nor sent, because they may quote credentials from the request.
    """
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, errors.ConfigurationProblem):  # the path is outside SCRIPT_NAME
        return NotFound()
    if isinstance(error, _APPLICATION_ERRORS) or not isinstance(error, errors.ParseException):
        _log.error("request failed", exc_info=error)
        return Internal()
    _log.warning("malformed request", extra={"fields": {"error": type(error).__name__, "remote": remote}})
    if isinstance(error, errors.LimitRequestLine):
        return MalformedRequest(message("request_line_too_long", line_bytes=settings.limit_request_line))
    if isinstance(error, errors.LimitRequestHeaders):
        fields, field_bytes = settings.limit_request_fields, settings.limit_request_field_size
        return MalformedRequest(message("headers_too_large", fields=fields, field_bytes=field_bytes))
    return MalformedRequest(_MESSAGES.get(type(error), message("request_line_malformed")))


def body_error(error: BaseException) -> BaseException:
    """Return the error of the response for an error of reading a body."""
    if isinstance(error, errors.NoMoreData):
        return InvalidJson(message("body_incomplete"))
    return InvalidJson(message("body_malformed")) if isinstance(error, errors.ParseException) else error


def request_timeout() -> GatewayError:
    """Return the error of a request that has not arrived within its deadline."""
    return RequestTimeout()


def too_many_connections() -> GatewayError:
    """Return the error of a request whose connection makes room for another one."""
    return Overloaded(message("too_many_connections"))
