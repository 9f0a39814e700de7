"""What a failed exchange proves: that nothing was sent, or nothing at all."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from enum import Enum, auto
from http.client import HTTPException
from typing import Final

import requests
from urllib3.exceptions import ConnectTimeoutError, DecodeError, InvalidHeader, LocationValueError, NewConnectionError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from gateway.domain.errors import (
    BackendMisconfigured,
    BackendReplyInvalid,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    OutcomeUnknown,
)

#: Only these prove that not a byte went out: refused, no such host (its subclass), no connection in time;
NOT_SENT: Final = (NewConnectionError, ConnectTimeoutError)
#: and these, which the operator must correct: a certificate that nobody vouches for, an address that is none.
#: or a setting that no header can carry.
_MISCONFIGURED: Final = (
    ssl.SSLCertVerificationError,
    LocationValueError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
)
_TIMEOUTS: Final = (TimeoutError, Urllib3Timeout, requests.Timeout)
#: What came is no HTTP, or less of it than was promised; RemoteDisconnected, when nothing came, is one of them too.
_MALFORMED: Final = (HTTPException, InvalidHeader, DecodeError)


class Failure(Enum):
    """Why there is no reply."""

    MISCONFIGURED = auto()  # a matter of our settings, whatever the backend does
    NO_CONNECTION = auto()
    NO_CONNECTION_IN_TIME = auto()
    TIMEOUT = auto()
    BROKEN = auto()  # it broke off, or what came is no HTTP


#: From the most to the least telling; the first that a chain of causes has is why.
_FAILURES: Final[tuple[tuple[Failure, tuple[type[BaseException], ...]], ...]] = (
    (Failure.MISCONFIGURED, _MISCONFIGURED),
    (Failure.NO_CONNECTION, (NewConnectionError,)),
    (Failure.NO_CONNECTION_IN_TIME, (ConnectTimeoutError,)),
    (Failure.TIMEOUT, _TIMEOUTS),
)


def what_failed(error: BaseException) -> Failure:
    """Tell why an exchange brought no reply."""
    return next((failure for failure, kinds in _FAILURES if _has(error, *kinds)), Failure.BROKEN)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Walk down what an exception wraps: requests and urllib3 keep it in `reason` or among their arguments.

    `__context__` is left out: it tells what was being handled, not what happened.
    """
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        inner = (getattr(seen, "reason", None), *seen.args, seen.__cause__)
        seen = next((each for each in inner if isinstance(each, BaseException)), None)


def was_sent(error: BaseException) -> bool:
    """Tell whether the request may have reached the backend; False is a proof, True is none."""
    return not _has(error, *NOT_SENT, *_MISCONFIGURED)


def as_gateway_error(error: BaseException, *, is_write: bool) -> GatewayError:
    """Say in the gateway's words what a failed exchange means for a read or a write."""
    if _has(error, *_MISCONFIGURED):
        return BackendMisconfigured(
            "The backend's certificate cannot be verified, its address is none, or a setting cannot be sent."
        )
    if not was_sent(error):
        return BackendUnavailable("No connection to the backend could be made; nothing was sent.")
    if is_write:
        return OutcomeUnknown("The connection failed after the request was sent; it may have been applied.")
    if _has(error, *_TIMEOUTS):
        return BackendTimeout()
    if _has(error, *_MALFORMED) and not _has(error, ConnectionError):
        return BackendReplyInvalid("The backend's reply is no HTTP, or ended too early.")
    return BackendUnavailable("The connection to the backend broke.")


def _has(error: BaseException, *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes(error))
