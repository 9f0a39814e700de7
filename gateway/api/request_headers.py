"""What a request's headers say of retries and of time."""

from __future__ import annotations

import re
from typing import Final

from flask import Request

from gateway.domain.errors import IdempotencyKeyInvalid

_KEY: Final = re.compile(r'"([\x21\x23-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255})')
#: What a proxy or caller says of its own patience, in milliseconds, as WSGI names the headers.
_TIMEOUTS: Final = ("HTTP_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS", "HTTP_X_REQUEST_TIMEOUT_MS")
_MILLISECONDS: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
#: So much earlier than the caller gives up, he is answered: the answer has to travel; seconds.
_TRAVEL: Final = 0.05


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key, bare or quoted; raises IdempotencyKeyInvalid."""
    given = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if given is None:
        return None
    key = _KEY.fullmatch(given.strip(" \t"))
    if key is None:
        raise IdempotencyKeyInvalid
    return key[1] or key[2]


def patience(request: Request, most: float) -> float:
    """Return how long the caller may wait, seconds: our own deadline, or his where it is sooner."""
    given = [value for name in _TIMEOUTS if (value := request.environ.get(name)) is not None]
    told = [int(value) / 1000 - _TRAVEL for value in given if _MILLISECONDS.fullmatch(value)]
    return max(min([most, *told]), 0.0) if told else most


def wants_no_wait(request: Request) -> bool:
    """Tell whether the caller prefers to be answered before the create is done (RFC 7240)."""
    preference = request.environ.get("HTTP_PREFER")
    if not preference:
        return False
    preferences = (part.partition(";")[0].strip().lower() for part in preference.split(","))
    return "respond-async" in preferences
