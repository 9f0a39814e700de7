"""Classifies failed exchanges: what proves that nothing was sent, and what proves nothing."""

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

#: The operator must correct these: a certificate that cannot be verified, an invalid address, or a setting that no
#: header can carry. They too prove that nothing was sent.
_MISCONFIGURED: Final = (
    ssl.SSLCertVerificationError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
)
_TIMEOUTS: Final = (TimeoutError, requests.Timeout)


class FailureKind(Enum):
    """Why there is no response."""

    MISCONFIGURED = auto()  # the gateway's settings, whatever the backend does
    NO_CONNECTION = auto()
    CONNECT_TIMEOUT = auto()
    TIMEOUT = auto()
    BROKEN = auto()  # the connection broke, or the response is not HTTP


#: In order of precedence: the first kind that an exception chain contains.
_KINDS: Final[tuple[tuple[FailureKind, tuple[type[BaseException], ...]], ...]] = (
    (FailureKind.MISCONFIGURED, _MISCONFIGURED),
    (FailureKind.NO_CONNECTION, (ConnectError,)),
    (FailureKind.CONNECT_TIMEOUT, (requests.ConnectTimeout,)),
    (FailureKind.TIMEOUT, _TIMEOUTS),
)
#: These prove that not a byte was sent.
_NOT_SENT: Final = frozenset({FailureKind.MISCONFIGURED, FailureKind.NO_CONNECTION, FailureKind.CONNECT_TIMEOUT})


def classify(error: BaseException) -> FailureKind:
    """Return why an exchange brought no response."""
    return next((kind for kind, types in _KINDS if _caused_by(error, *types)), FailureKind.BROKEN)


def exception_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes.

    `__context__` is left out: it is what was being handled, and not what happened.
    """
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__


def maybe_sent(error: BaseException) -> bool:
    """Return whether the request may have reached the backend; False is a proof, True is none."""
    return classify(error) not in _NOT_SENT


def to_gateway_error(error: BaseException, *, is_write: bool) -> GatewayError:
    """Return what a failed exchange means for a read or a write."""
    kind = classify(error)
    if kind is FailureKind.MISCONFIGURED:
        return BackendMisconfigured(message("connection_misconfigured"))
    if kind in _NOT_SENT:
        return BackendUnavailable(message("not_connected"))
    if is_write:
        return OutcomeUnknown(message("connection_lost_after_send"))
    if kind is FailureKind.TIMEOUT:
        return BackendTimeout()
    if _caused_by(error, HTTPException) and not _caused_by(error, ConnectionError):
        return BackendReplyInvalid(message("response_not_http"))
    return BackendUnavailable(message("connection_lost"))


def _caused_by(error: BaseException, *types: type[BaseException]) -> bool:
    return any(isinstance(cause, types) for cause in exception_chain(error))
