"""Classifies failed exchanges: those of which nothing was sent, and those that the backend may have received."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from enum import Enum, auto
from http.client import HTTPException
from typing import Final

import requests

from gateway.domain.errors import (
    BackendMisconfigured,
    BackendReplyInvalid,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    OutcomeUnknown,
)
from gateway.domain.messages import message
from gateway.transport.deadline_socket import ConnectError
from gateway.transport.proxy import ProxyAuthenticationRequired

#: The operator must correct these: a certificate that cannot be verified, an invalid address, a setting that no
#: header can carry, or credentials that the egress proxy refuses. Nothing was sent.
_MISCONFIGURATIONS: Final = (
    ssl.SSLCertVerificationError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
    ProxyAuthenticationRequired,
)
_TIMEOUTS: Final = (TimeoutError, requests.Timeout)


class FailureKind(Enum):
    """Why there is no response."""

    MISCONFIGURED = auto()  # the gateway's settings, whatever the backend does
    NO_CONNECTION = auto()
    CONNECT_TIMEOUT = auto()
    TIMEOUT = auto()
    BROKEN = auto()  # the connection broke, or the response is not HTTP


#: In order of precedence: an exception chain is of the first kind that has a type in the chain.
_KINDS_AND_TYPES: Final[tuple[tuple[FailureKind, tuple[type[BaseException], ...]], ...]] = (
    (FailureKind.MISCONFIGURED, _MISCONFIGURATIONS),
    (FailureKind.NO_CONNECTION, (ConnectError,)),
    (FailureKind.CONNECT_TIMEOUT, (requests.ConnectTimeout,)),
    (FailureKind.TIMEOUT, _TIMEOUTS),
)
#: Not a byte of the request was sent.
_NOT_SENT_KINDS: Final = frozenset({FailureKind.MISCONFIGURED, FailureKind.NO_CONNECTION, FailureKind.CONNECT_TIMEOUT})


def classify(error: BaseException) -> FailureKind:
    """Return why an exchange brought no response."""
    return next((kind for kind, types in _KINDS_AND_TYPES if _caused_by(error, *types)), FailureKind.BROKEN)


def exception_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes (`__cause__`), up to ten.

    `__context__` is not followed: an exception that was being handled need not be the cause.
    """
    cause: BaseException | None = error
    for _ in range(10):  # causes may form a cycle
        if cause is None:
            return
        yield cause
        cause = cause.__cause__


def maybe_sent(error: BaseException) -> bool:
    """Return False only if the request has certainly not reached the backend, not even in part."""
    return classify(error) not in _NOT_SENT_KINDS


def to_gateway_error(error: BaseException, *, is_write: bool) -> GatewayError:
    """Return the error to raise for a failed exchange; a write that may have been sent has an unknown outcome."""
    kind = classify(error)
    if kind is FailureKind.MISCONFIGURED:
        return BackendMisconfigured(message("connection_misconfigured"))
    if kind in _NOT_SENT_KINDS:
        return BackendUnavailable(message("not_connected"))
    if is_write:
        return OutcomeUnknown(message("connection_lost_after_send"))
    if kind is FailureKind.TIMEOUT:
        return BackendTimeout()
    # RemoteDisconnected is both an HTTPException and a ConnectionError: the connection was lost.
    if _caused_by(error, HTTPException) and not _caused_by(error, ConnectionError):
        return BackendReplyInvalid(message("response_not_http"))
    return BackendUnavailable(message("connection_lost"))


def _caused_by(error: BaseException, *types: type[BaseException]) -> bool:
    return any(isinstance(cause, types) for cause in exception_chain(error))
