"""Sends one request to a backend and returns the complete response, within one deadline."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz
from http.client import HTTPException
from typing import Any, Final

import requests

from gateway import json_codec
from gateway.domain.backend import NO_SERVICES, BackendServices, CallContext, ConnectionState
from gateway.domain.errors import BackendReplyInvalid, BackendTimeout, BackendUnavailable, GatewayError, OutcomeUnknown
from gateway.domain.messages import message
from gateway.domain.runtime import Clock
from gateway.transport.admission import AdmissionControl
from gateway.transport.connection_pool import Deadline, PooledAdapter
from gateway.transport.failures import exception_chain, to_gateway_error
from gateway.transport.http1 import ResponseTooLarge
from gateway.transport.settings import TransportSettings

_log: Final = logging.getLogger("gateway.transport")
_NOT_PARSED: Final = object()
#: How long a replaced credential is still redacted, in seconds, because a late response may contain it.
_OLD_SECRET_TTL: Final = 900.0
_DEFAULT_HEADERS: Final = {"User-Agent": "module-gateway", "Accept-Encoding": "identity"}
#: In seconds; short, because a request may be waiting for the document.
_DOCUMENT_TIMEOUT: Final = 5.0
_MAX_DOCUMENT_BYTES: Final = 256 * 1024
_SECONDS: Final = re.compile(r"[0-9]{1,32}(\.[0-9]{1,32})?", re.ASCII)
#: A longer time is cut to this: a day, in seconds.
_MAX_RETRY_AFTER: Final = 86_400.0
_MAX_DATE_LENGTH: Final = 64


@dataclass(slots=True, kw_only=True)
class UpstreamRequest:
    """A request to a backend; the URL is complete and quoted."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    is_write: bool = False  # may change something: its failures are OutcomeUnknown unless proven otherwise


@dataclass(slots=True)
class UpstreamResponse:
    """A complete response of a backend; header names are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_write: bool
    log_fields: Mapping[str, object] | None = field(default=None, repr=False, compare=False)  # name the exchange
    received_at: float | None = field(default=None, repr=False, compare=False)  # on Clock.now()
    _document: Any = field(default=_NOT_PARSED, init=False, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Return whether the status is 2xx; redirects are not followed."""
        return self.status // 100 == 2  # noqa: PLR2004 - RFC 9110: 2xx

    def json(self) -> Any:
        """Return the body as JSON, or None if it is not JSON or is null: no backend answers with null."""
        if self._document is _NOT_PARSED:
            self._document = _parse_json(self.body)
        return self._document

    def retry_after(self, *names: str) -> float | None:
        """Return the seconds that the first usable header tells to wait: a number, or a date (RFC 9110, 10.2.3).

        A date is compared with the response's own Date, which is on the same clock, or else with the gateway's clock.
        """
        for name in names or ("Retry-After",):
            text = self.headers.get(name, "").strip()
            if _SECONDS.fullmatch(text):
                return min(float(text), _MAX_RETRY_AFTER)
            time, sent_at = _parse_date(text), _parse_date(self.headers.get("Date", ""))
            now = self.received_at if sent_at is None else sent_at
            if time is not None and now is not None:
                return min(max(time - now, 0.0), _MAX_RETRY_AFTER)
        return None

    def invalid_response(self, reason: str) -> GatewayError:
        """Return the error for a response that is not in the backend's format; `reason` completes a message key."""
        return _invalid_response(reason, is_write=self.is_write)


class UpstreamClient:
    """The connections to one backend; threads and greenlets may share it.

    It calls requests' adapter without a session, which would keep cookies, follow redirects and read proxies from the
    environment.
    """

    def __init__(
        self,
        settings: TransportSettings,
        clock: Clock,
        name: str = "",
        services: BackendServices = NO_SERVICES,
        *,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._state: ConnectionState = "unused"
        self._name = name
        self._tracer = services.tracer
        self._secrets = services.secrets
        self._admission = AdmissionControl(name, settings, clock, services, random=random)
        self._adapter = PooledAdapter(settings)

    @property
    def state(self) -> ConnectionState:
        """Return whether the last exchange reached the backend, or that the circuit is open."""
        return "circuit_open" if self._admission.is_open else self._state

    def send(self, request: UpstreamRequest, call: CallContext) -> UpstreamResponse:
        """Send one request; the caller's deadline or the connection's hard timeout ends it, whichever is sooner.

        Adds the time that it took to `call.upstream_seconds`. Raises a GatewayError; CircuitOpen, Overloaded and
        RateLimited mean that nothing was sent.
        """
        started_at = self._clock.monotonic()
        try:
            permit = self._admission.admit(started_at, self._remaining_seconds(request, call, started_at), call.caller)
            return self._send_admitted(request, call, permit)
        finally:
            call.upstream_seconds += self._clock.monotonic() - started_at

    def register_secret(self, secret: str, *, replaces: str = "") -> None:
        """Redact a credential in all output; the one that it replaces stays redacted for a limited time."""
        if self._secrets is None:
            return
        self._secrets.add(secret)
        if replaces:
            self._secrets.add_temporary(replaces, _OLD_SECRET_TTL)
            self._secrets.remove(replaces)

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _remaining_seconds(self, request: UpstreamRequest, call: CallContext, now: float) -> float:
        """Return how many seconds after `now` an exchange must end.

        If the deadline has passed, raises BackendTimeout for a read. For a write it raises BackendUnavailable, which
        states that nothing was applied.
        """
        seconds = min(call.deadline - now, self._settings.hard_timeout_seconds)
        if seconds <= 0:
            detail = message("deadline_before_send")
            raise BackendUnavailable(detail) if request.is_write else BackendTimeout(detail)
        return seconds

    def _send_admitted(self, request: UpstreamRequest, call: CallContext, permit: int) -> UpstreamResponse:
        """Send an admitted request; report its result, whatever it is, to the admission control and the trace."""
        started_at = self._clock.monotonic()
        try:
            seconds = self._remaining_seconds(request, call, started_at)  # again: the call may have waited for a slot
        except GatewayError:
            self._admission.on_cancel(permit)
            raise
        span = (
            None if self._tracer is None else self._tracer.start_upstream_span(self._name, request.method, call.trace)
        )
        result = "broken"  # until there is a response
        try:
            response = self._exchange(request, call.trace if span is None else span.headers, started_at + seconds)
            result = f"{response.status // 100}xx"
        except (HTTPException, OSError) as error:  # requests' own exceptions are OSErrors
            self._state = "unreachable"
            self._admission.on_failure(permit, error, started_at, timeout=seconds)
            fields = {"method": request.method, "error": _exception_names(error)}
            exchange = {"backend": self._name, "request_id": call.request_id, "operation": call.operation_id}
            _log.warning("exchange failed", extra={"fields": {**exchange, **fields}})
            raise to_gateway_error(error, is_write=request.is_write) from error
        except BaseException:
            self._admission.on_abort(permit, started_at)
            raise
        finally:
            if span is not None:
                span.end(result)
        self._state = "reachable"
        response.log_fields = {"backend": self._name, "request_id": call.request_id, "operation": call.operation_id}
        response.received_at = self._clock.now()
        self._admission.on_response(permit, response.status, started_at)
        return response

    def _exchange(self, request: UpstreamRequest, trace: Mapping[str, str], deadline: float) -> UpstreamResponse:
        """Send a request with trace headers and return the response before a deadline on time.monotonic()."""
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = request.url
        headers = {**_DEFAULT_HEADERS, **_without_overridden(trace, request.headers), **request.headers}
        prepared.headers = headers  # type: ignore[assignment] # the adapter needs no case-insensitive dictionary
        prepared.body = request.body
        try:
            response = self._adapter.send(prepared, timeout=Deadline(deadline))
        except ResponseTooLarge:
            raise _invalid_response("too_large", is_write=request.is_write) from None
        return UpstreamResponse(response.status_code, response.headers, response.content, request.is_write)


def create_json_fetcher(url: str, ca_file: str | None, clock: Clock) -> Callable[[], Any]:
    """Return a function that fetches a public JSON document, such as an issuer's keys, or raises a GatewayError."""
    settings = TransportSettings(
        connect_seconds=2.0,
        hard_timeout_seconds=_DOCUMENT_TIMEOUT,
        max_reply_bytes=_MAX_DOCUMENT_BYTES,
        ca_file=ca_file,
    )
    client = UpstreamClient(settings, clock)
    request = UpstreamRequest(method="GET", url=url, headers={"Accept": "application/json"})

    def fetch() -> Any:
        response = client.send(request, CallContext("fetch", clock.monotonic() + _DOCUMENT_TIMEOUT))
        document = response.json() if response.ok else None
        if document is None:
            raise response.invalid_response("not_json")
        return document

    return fetch


def _parse_json(body: bytes) -> Any:
    """Return the JSON value of a body, None if it is not JSON."""
    try:
        return json_codec.loads(body)
    except (ValueError, RecursionError):
        return None


def _parse_date(text: str) -> float | None:
    """Return an HTTP date of any of the three forms as seconds since the epoch, None if it is none."""
    parts = parsedate_tz(text) if len(text) <= _MAX_DATE_LENGTH else None
    try:
        return None if parts is None else float(mktime_tz(parts))
    except (ValueError, OverflowError):  # such as the 40th of a month
        return None


def _invalid_response(reason: str, *, is_write: bool) -> GatewayError:
    error_type = OutcomeUnknown if is_write else BackendReplyInvalid
    return error_type(message(f"response_{reason}"))


def _without_overridden(trace: Mapping[str, str], request_headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the trace headers that are not among the headers of the request, in any case of letters."""
    if not trace:
        return trace
    overridden = {name.lower() for name in request_headers}
    return {name: value for name, value in trace.items() if name.lower() not in overridden}


def _exception_names(error: BaseException) -> str:
    """Return the class names of an exception and its causes; their texts may contain addresses."""
    return " < ".join(type(cause).__name__ for cause in exception_chain(error))
