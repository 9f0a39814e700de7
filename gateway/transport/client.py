"""One exchange with a backend: a deadline, verified TLS, no redirects, a reply of bounded size, sent once."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final

import requests
from urllib3.exceptions import HTTPError

from gateway import json_codec
from gateway.domain.backend import NO_SERVICES, BackendServices, CallContext, ConnectionState
from gateway.domain.errors import BackendReplyInvalid, BackendTimeout, BackendUnavailable, GatewayError, OutcomeUnknown
from gateway.domain.runtime import Clock
from gateway.transport.admission import AdmissionControl
from gateway.transport.connection_pool import PooledAdapter
from gateway.transport.deadline_socket import ResponseTooLarge
from gateway.transport.failures import as_gateway_error, causes
from gateway.transport.settings import TransportSettings

_log: Final = logging.getLogger("gateway.transport")
_UNREAD: Final = object()
#: A credential that was replaced may still come back in a late reply; seconds.
_STILL_OUT: Final = 900.0
_USUAL: Final = {"User-Agent": "module-gateway", "Accept-Encoding": "identity"}


@dataclass(slots=True, kw_only=True)
class UpstreamRequest:
    """What goes out; the url is complete and already quoted."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    is_write: bool = False  # may change something: its failures are OutcomeUnknown unless proven otherwise


@dataclass(slots=True)
class UpstreamResponse:
    """What came back, whole; header names in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_write: bool
    _document: Any = field(default=_UNREAD, init=False, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Tell whether the status is one of success; a redirect is none, nobody follows it."""
        return self.status // 100 == 2  # noqa: PLR2004 - RFC 9110: 2xx

    def json(self) -> Any:
        """Return the body as JSON, or None where it is none; null reads as None too, and no format here is null."""
        if self._document is _UNREAD:
            self._document = _read(self.body)
        return self._document

    def invalid(self, what: str) -> GatewayError:
        """Return the error for a reply that is not in the backend's format."""
        if self.is_write:
            return OutcomeUnknown(f"The backend's reply makes no sense: {what}.")
        return BackendReplyInvalid(f"The backend's reply makes no sense: {what}.")


class UpstreamClient:
    """The connections to one backend; safe to share between threads and greenlets."""

    def __init__(
        self,
        limits: TransportSettings,
        clock: Clock,
        name: str = "",
        services: BackendServices = NO_SERVICES,
        *,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._state: ConnectionState = "unused"
        self._name = name
        self._tracer = services.tracer
        self._secrets = services.secrets
        self._gate = AdmissionControl(name, limits, clock, services, random=random)
        self._adapter = PooledAdapter(limits)

    @property
    def state(self) -> ConnectionState:
        """Return what the last exchange showed, or that there are none at the moment."""
        return "circuit_open" if self._gate.is_open else self._state

    def send(self, request: UpstreamRequest, call: CallContext) -> UpstreamResponse:
        """Exchange one request, before the caller's deadline and the connection's own, whichever is sooner.

        CircuitOpen, Overloaded and RateLimited mean that nothing was sent.
        """
        started = self._clock.monotonic()
        try:
            ticket = self._gate.enter(started, self._left(request, call, started))
            return self._pass(request, call, ticket)
        finally:
            call.upstream_seconds += self._clock.monotonic() - started

    def hide(self, secret: str, *, instead_of: str = "") -> None:
        """Keep a credential out of everything that is written; the one before it is still on its way here and there."""
        if self._secrets is None:
            return
        self._secrets.add(secret)
        if instead_of:
            self._secrets.add_temporary(instead_of, _STILL_OUT)
            self._secrets.remove(instead_of)

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _left(self, request: UpstreamRequest, call: CallContext, now: float) -> float:
        """Return how many seconds an exchange may take; raise where there are none."""
        seconds = min(call.deadline - now, self._limits.hard_timeout_seconds)
        if seconds <= 0:
            late = "The deadline passed before the request was sent."
            raise BackendUnavailable(late) if request.is_write else BackendTimeout(late)
        return seconds

    def _pass(self, request: UpstreamRequest, call: CallContext, ticket: int) -> UpstreamResponse:
        """Exchange a request that was let in, and tell the gate what came of it, whatever happens."""
        began = self._clock.monotonic()
        try:
            seconds = self._left(request, call, began)  # less than before, where it had to wait
        except GatewayError:
            self._gate.withdraw(ticket)
            raise
        span = (
            None if self._tracer is None else self._tracer.start_upstream_span(self._name, request.method, call.trace)
        )
        result = "broken"
        try:
            reply = self._exchange(request, call.trace if span is None else span.headers, seconds)
            result = f"{reply.status // 100}xx"
        except (requests.RequestException, HTTPException, HTTPError, OSError) as error:
            self._state = "unreachable"
            self._gate.failed(ticket, error, began, given=seconds)
            _log.warning("exchange failed", extra={"fields": {"method": request.method, "error": _names(error)}})
            raise as_gateway_error(error, is_write=request.is_write) from error
        except BaseException:
            self._gate.gave_up(ticket, began)
            raise
        finally:
            if span is not None:
                span.end(result)
        self._state = "reachable"
        self._gate.answered(ticket, reply.status, began)
        return reply

    def _exchange(self, request: UpstreamRequest, trace: Mapping[str, str], seconds: float) -> UpstreamResponse:
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = request.url
        # A plain dictionary does: nobody asks for a name in another case than it was written in.
        prepared.headers = {**_USUAL, **_others(trace, request.headers), **request.headers}  # type: ignore[assignment]
        prepared.body = request.body
        prepared.hooks = {}
        try:
            response = self._adapter.send(prepared, timeout=seconds)
        except ResponseTooLarge:
            raise UpstreamResponse(0, {}, b"", request.is_write).invalid("it is too large") from None
        return UpstreamResponse(response.status_code, response.headers, response.content, request.is_write)


def _read(body: bytes) -> Any:
    try:
        return json_codec.read(body)
    except (ValueError, RecursionError):
        return None


def _others(trace: Mapping[str, str], own: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers of a trace, less those of which the adapter has one of its own."""
    if not trace:
        return trace
    names = {name.lower() for name in own}
    return {name: value for name, value in trace.items() if name.lower() not in names}


def _names(error: BaseException) -> str:
    """Name the exception and what caused it; their texts may hold addresses and are left out."""
    return " < ".join(type(cause).__name__ for cause in causes(error))
