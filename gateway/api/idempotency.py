"""What a request's headers say of retries and of time."""

from __future__ import annotations

import re
from typing import Final

from flask import Request

from gateway.domain.errors import IdempotencyKeyInvalid

_KEY: Final = re.compile(r'"([\x21\x23-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255})')
#: What a proxy or caller says of its own patience, in milliseconds.
_TIMEOUTS: Final = ("x-envoy-expected-rq-timeout-ms", "X-Request-Timeout-Ms")
#: So much earlier than the caller gives up, he is answered: the answer has to travel; seconds.
_TRAVEL: Final = 0.05


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key, bare or quoted; raises IdempotencyKeyInvalid."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    key = _KEY.fullmatch(given.strip(" \t"))
    if key is None:
        raise IdempotencyKeyInvalid
    return key[1] or key[2]


def patience(request: Request, most: float) -> float:
    """Return how long the caller may wait, seconds: our own deadline, or his where it is sooner."""
    given = (request.headers.get(name, "") for name in _TIMEOUTS)
    told = [int(value) / 1000 - _TRAVEL for value in given if re.fullmatch(r"[1-9][0-9]{0,8}", value, re.ASCII)]
    return max(min([most, *told]), 0.0)


def wants_no_wait(request: Request) -> bool:
    """Tell whether the caller prefers to be answered before the create is done (RFC 7240)."""
    preferences = (part.partition(";")[0].strip().lower() for part in request.headers.get("Prefer", "").split(","))
    return "respond-async" in preferences
