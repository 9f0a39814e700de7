"""What a failed exchange proves: that nothing was sent, or nothing at all."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final

import requests
from urllib3.exceptions import ConnectTimeoutError, IncompleteRead, NewConnectionError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from gateway.domain.errors import (
    BackendMisconfigured,
    BackendReplyInvalid,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    OutcomeUnknown,
)

#: Only these prove that not a byte went out: refused, no such host (its subclass), no connection in time.
NOT_SENT: Final = (NewConnectionError, ConnectTimeoutError)
_TIMEOUTS: Final = (TimeoutError, Urllib3Timeout, requests.Timeout)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Walk down what an exception wraps: requests and urllib3 keep it in `reason` or as their first argument.

    `__context__` is left out: it tells what was being handled, not what happened.
    """
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        inner = getattr(seen, "reason", None) or next(iter(seen.args), None) or seen.__cause__
        seen = inner if isinstance(inner, BaseException) else None


def was_sent(error: BaseException) -> bool:
    """Tell whether the request may have reached the backend; False is a proof, True is none."""
    return not any(isinstance(cause, (*NOT_SENT, ssl.SSLCertVerificationError)) for cause in causes(error))


def as_gateway_error(error: BaseException, *, writes: bool) -> GatewayError:
    """Say in the gateway's words what a failed exchange means for a read or a write."""
    chain = tuple(causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
        return BackendMisconfigured("The backend's certificate cannot be verified.")
    if not was_sent(error):
        return BackendUnavailable("No connection to the backend could be made; nothing was sent.")
    if writes:
        return OutcomeUnknown("The connection failed after the request was sent; it may have been applied.")
    if any(isinstance(cause, IncompleteRead) for cause in chain):
        return BackendReplyInvalid("The backend's reply ended too early.")
    if any(isinstance(cause, _TIMEOUTS) for cause in chain):
        return BackendTimeout()
    return BackendUnavailable("The connection to the backend broke.")
