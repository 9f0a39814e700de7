"""Request headers that concern retries and time limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from flask import Request

from gateway.domain.errors import IdempotencyKeyInvalid
from gateway.domain.messages import message
from gateway.identity import TrustedProxies

_IDEMPOTENCY_KEY: Final = re.compile(r'"([\x21\x23-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255})')
#: How long a proxy or the caller waits, in milliseconds; named as in the WSGI environment.
_TIMEOUT_HEADERS: Final = ("HTTP_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS", "HTTP_X_REQUEST_TIMEOUT_MS")
_MILLISECONDS: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
#: The time that a response needs to reach the caller.
_RESPONSE_MARGIN_SECONDS: Final = 0.05
#: The longest wait for new changes.
_MAX_WAIT_SECONDS: Final = 60.0
#: Segments of a path, none of them empty, "." or "..".
_PREFIX: Final = re.compile(r"(/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+;=:@%-]{1,128}){1,16}/?|/", re.ASCII)
#: The headers that only a create reads, as OpenAPI parameters.
CREATE_HEADERS: Final = tuple(
    {"in": "header", "name": name, "description": description, "schema": schema}
    for name, description, schema in (
        (
            "Idempotency-Key",
            "The same key and request give the same module, for 24 hours.",
            {"type": "string", "pattern": "^[!#-~]{1,255}$"},
        ),
        (
            "X-Request-Id",
            "The same id and request are the same create, for 10 minutes.",
            {"type": "string", "pattern": "^[A-Za-z0-9._:@/+=-]{1,128}$"},
        ),
        (
            "X-Request-Timeout-Ms",
            "How long the caller waits; x-envoy-expected-rq-timeout-ms says the same.",
            {"type": "integer", "minimum": 1, "maximum": 999_999_999},
        ),
        ("Prefer", "respond-async: 202 as soon as it is written down.", {"type": "string"}),
    )
)


#: The headers that only an update or delete reads.
CHANGE_HEADERS: Final = (
    {
        "in": "header",
        "name": "If-Match",
        "description": "Etags of the module, or *: without a match the answer is 412, and nothing is changed.",
        "schema": {"type": "string"},
    },
)


def if_match(request: Request) -> Sequence[str] | None:
    """Return the etags of If-Match, `*` for any, None without the header; weak ones never match and are left out."""
    if "HTTP_IF_MATCH" not in request.environ:
        return None
    etags = request.if_match
    return ["*"] if etags.star_tag else [*etags.as_set()]


def idempotency_key(environ: Mapping[str, Any]) -> str | None:
    """Return the Idempotency-Key, bare or quoted; raises IdempotencyKeyInvalid."""
    value = environ.get("HTTP_IDEMPOTENCY_KEY")
    if value is None:
        return None
    match = _IDEMPOTENCY_KEY.fullmatch(value.strip(" \t"))
    if match is None:
        raise IdempotencyKeyInvalid(message("idempotency_key_invalid", value=value))
    return match[1] or match[2]


def mount_point(environ: Mapping[str, Any], trusted_proxies: TrustedProxies) -> str:
    """Return the path under which callers see the service, without a slash at the end; mostly the empty string.

    It is the X-Forwarded-Prefix of a trusted proxy if that is a plain path, or else the server's own SCRIPT_NAME.
    """
    prefix = environ.get("HTTP_X_FORWARDED_PREFIX")
    if prefix and _PREFIX.fullmatch(prefix) and environ.get("REMOTE_ADDR", "") in trusted_proxies:
        return str(prefix.rstrip("/"))
    script_name = environ.get("SCRIPT_NAME")
    return quote(script_name.encode("latin-1")).rstrip("/") if script_name else ""


def request_timeout(environ: Mapping[str, Any], max_seconds: float) -> float:
    """Return how many seconds the request may take: `max_seconds`, or less if a proxy or the caller waits for less."""
    values = [value for name in _TIMEOUT_HEADERS if (value := environ.get(name)) is not None]
    timeouts = [int(value) / 1000 - _RESPONSE_MARGIN_SECONDS for value in values if _MILLISECONDS.fullmatch(value)]
    return max(min(max_seconds, *timeouts), 0.0) if timeouts else max_seconds


def prefers_async(environ: Mapping[str, Any]) -> bool:
    """Return whether the caller prefers a response before the create is complete (RFC 7240)."""
    return "respond-async" in _preferences(environ.get("HTTP_PREFER"))


def preferred_wait(environ: Mapping[str, Any]) -> float:
    """Return how many seconds the caller prefers to wait for something new; 0 without a valid `wait` (RFC 7240)."""
    seconds = _preferences(environ.get("HTTP_PREFER")).get("wait", "")
    return min(float(seconds), _MAX_WAIT_SECONDS) if re.fullmatch(r"[0-9]{1,9}", seconds, re.ASCII) else 0.0


def _preferences(header: str | None) -> Mapping[str, str]:
    """Return the preferences of a Prefer header by name, of which the first of each counts."""
    preferences: dict[str, str] = {}
    for part in (header or "").split(","):
        name, _, value = part.partition(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    return preferences
