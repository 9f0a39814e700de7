"""One exchange with a backend: a deadline, verified TLS, no redirects, a reply of bounded size, sent once."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from gateway.domain.errors import BackendReplyInvalid, BackendTimeout, BackendUnavailable, GatewayError, OutcomeUnknown
from gateway.domain.ports import ALONE, Call, Clock, State, Surroundings
from gateway.settings import Table
from gateway.transport.deadline import POOLS
from gateway.transport.failures import as_gateway_error, causes

_log: Final = logging.getLogger("gateway.transport")
_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one exchange may cost."""

    connect_seconds: float = 3.0
    hard_timeout_seconds: float = 35.0  # connect, send, headers and body together
    max_reply_bytes: int = 8 * 1024 * 1024
    ca_file: str | None = None  # a private authority; None: the public ones

    @classmethod
    def read(cls, table: Table) -> Limits:
        """Read the settings that every connection has."""
        ca_file = table.text("ca_file", "") or None
        if ca_file is not None and not _is_authority(ca_file):
            table.wrong("ca_file", f"no certificate can be read from the file {ca_file}")
        return cls(
            connect_seconds=table.number("connect_seconds", 3.0, most=60.0),
            hard_timeout_seconds=table.number("hard_timeout_seconds", 35.0, most=600.0),
            ca_file=ca_file,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What goes out; the url is complete and already quoted."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    writes: bool = False  # may change something: its failures are OutcomeUnknown unless proven otherwise


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whole; header names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    writes: bool

    @property
    def ok(self) -> bool:
        """Tell whether the status is one of success; a redirect is none, nobody follows it."""
        return self.status // 100 == 2  # noqa: PLR2004 - RFC 9110: 2xx

    def json(self) -> Any:
        """Return the body as JSON, or None where it is none; null reads as None too, and no format here is null."""
        try:
            document = json.loads(self.body)
            if b"\\u" in self.body:
                json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair could never be written out
        except (ValueError, RecursionError):
            return None
        return document

    def invalid(self, what: str) -> GatewayError:
        """Return the error for a reply that is not in the backend's format."""
        if self.writes:
            return OutcomeUnknown(f"The backend's reply makes no sense: {what}.")
        return BackendReplyInvalid(f"The backend's reply makes no sense: {what}.")


class Transport:
    """The connections to one backend; safe to share between threads and greenlets."""

    def __init__(self, limits: Limits, clock: Clock, name: str = "", surroundings: Surroundings = ALONE) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._surroundings = surroundings
        self.state: State = "unused"
        self._adapter = _Adapter(pool_connections=4, pool_maxsize=256)

    def send(self, request: Request, call: Call) -> Reply:
        """Exchange one request, before the caller's deadline and the connection's own, whichever is sooner."""
        started = self._clock.monotonic()
        seconds = min(call.deadline - started, self._limits.hard_timeout_seconds)
        if seconds <= 0:
            late = "The deadline passed before the request was sent."
            raise BackendUnavailable(late) if request.writes else BackendTimeout(late)
        try:
            reply = self._exchange(request, seconds)
        except (requests.RequestException, HTTPError, OSError) as error:
            self.state = "unreachable"
            _log.warning("exchange failed", extra={"fields": {"method": request.method, "error": _names(error)}})
            raise as_gateway_error(error, writes=request.writes) from error
        finally:
            call.upstream_seconds += self._clock.monotonic() - started
        self.state = "reachable"
        return reply

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _exchange(self, request: Request, seconds: float) -> Reply:
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = request.url
        prepared.headers = CaseInsensitiveDict(request.headers)
        prepared.body = request.body
        prepared.hooks = {}
        if request.body is not None or request.method in {"POST", "PUT", "PATCH"}:
            prepared.headers["Content-Length"] = str(len(request.body or b""))
        prepared.headers.setdefault("Accept-Encoding", "identity")
        response = self._adapter.send(
            prepared,
            stream=True,
            timeout=Timeout(total=seconds, connect=min(self._limits.connect_seconds, seconds)),  # type: ignore[arg-type] # documented, not in the stubs
            verify=self._limits.ca_file or True,
        )
        try:
            return Reply(response.status_code, response.headers, self._read(response, request), request.writes)
        finally:
            response.close()

    def _read(self, response: requests.Response, request: Request) -> bytes:
        body = bytearray()
        while chunk := response.raw.read(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > self._limits.max_reply_bytes:
                raise Reply(response.status_code, {}, b"", request.writes).invalid("it is too large")
        return bytes(body)


class _Adapter(HTTPAdapter):
    """requests' adapter over connections with a total deadline; it follows no redirect and retries nothing."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS


def _is_authority(path: str) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except OSError:
        return False
    return True


def _names(error: BaseException) -> str:
    """Name the exception and what caused it; their texts may hold addresses and are left out."""
    return " < ".join(type(cause).__name__ for cause in causes(error))
