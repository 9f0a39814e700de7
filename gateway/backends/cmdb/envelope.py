"""CMDB's three envelopes, opened: business errors inside HTTP 200, two spellings of the code, the gateway's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.backends.cmdb.errors import ERRORS
from gateway.backends.cmdb.routes import WRITES
from gateway.domain.error_mapping import UpstreamFailure
from gateway.transport import UpstreamResponse

#: The language-independent words in messages: parameter names in quotes (CMDB) or brackets (ESB), and the few fixed
#: texts of ESB, API gateway and apiserver, which speak English only, that tell a refusal from an accident.
_TOKEN: Final = re.compile(
    r"\[(bk_\w+|data)\]|'+([a-z_]+(?:/[a-z_]+)*)'"
    r"|((?:APP|User) authentication failed|valid user identity|user is not set|app is not verified|connection refused)"
)
#: What topo_server answers to a path it does not know; with IAM off the status says 200.
_NO_SUCH_PATH: Final = re.compile(rb"(404|405): ")
#: Where a pause is named, in seconds; a Retry-After that is a date is passed over.
_PAUSES: Final = ("Retry-After", "X-Bkapi-RateLimit-Reset")
_REQUEST_IDS: Final = ("X-Bkapi-Request-ID", "X-Request-Id", "Cc_Request_Id")


def read_data(reply: UpstreamResponse, backend: str, operation: str) -> Any:
    """Return an envelope's `data`; raise what its code means where it tells of a failure."""
    body = reply.json()
    gateway_code = reply.headers.get("X-Bkapi-Error-Code")
    if not isinstance(body, dict) or not body.keys() & {"result", "code", "bk_error_code", "code_name"}:
        if (text := _NO_SUCH_PATH.match(reply.body)) is not None:
            raise ERRORS.to_error(_fault(reply, {}, (backend, operation), status=int(text[1])))
        if reply.ok and gateway_code is None:
            raise reply.invalid("it is no envelope")
        body = {}
    elif body.get("result") is True and gateway_code is None and reply.ok:
        return body.get("data")
    raise ERRORS.to_error(_fault(reply, body, (backend, operation), code=gateway_code))


def _fault(
    reply: UpstreamResponse,
    body: Mapping[str, Any],
    at: tuple[str, str],
    *,
    status: int | None = None,
    code: str | None = None,
) -> UpstreamFailure:
    message = str(body.get("bk_error_msg", body.get("message", "")))
    token = _TOKEN.search(message)
    permission = body.get("permission")
    return UpstreamFailure(
        backend=at[0],
        operation=at[1],
        is_write=at[1] in WRITES,
        status=status or reply.status,
        code=_code(body.get("bk_error_code", body.get("code"))) or _code(code),
        token=next(filter(None, token.groups())) if token else None,
        message=message,
        request_id=_request_id(reply, body),
        retry_after=next(
            (seconds for seconds in map(_seconds, map(reply.headers.get, _PAUSES)) if seconds is not None), None
        ),
        permission=permission if isinstance(permission, dict) else None,
    )


def _code(value: Any) -> str | None:
    """Codes are integers, or the same in digits; 0 and anything else is no code."""
    text = str(value)
    return text if re.fullmatch(r"[1-9][0-9]{3,9}", text, re.ASCII) else None


def _request_id(reply: UpstreamResponse, body: Mapping[str, Any]) -> str | None:
    told = body.get("request_id") or next(filter(None, map(reply.headers.get, _REQUEST_IDS)), None)
    return told if isinstance(told, str) and re.fullmatch(r"[\x21-\x7e]{1,128}", told) else None


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and re.fullmatch(r"[0-9]{1,6}", value, re.ASCII) else None
