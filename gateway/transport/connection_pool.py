"""requests' transport adapter for one backend, over connections that are kept alive."""

from __future__ import annotations

import io
import ssl
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import requests
from requests.adapters import BaseAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from gateway.transport.deadline_socket import ConnectError, DeadlineSocket, connect
from gateway.transport.http1 import HttpResponse, encode_request, read_response
from gateway.transport.settings import TransportSettings


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of an exchange, on time.monotonic(); a number of seconds would start with the adapter's first line."""

    at: float


class _Origin(NamedTuple):
    """A server: its address, its TLS settings, its Host header and its idle connections, the last used at the right."""

    host: str
    port: int
    context: ssl.SSLContext | None  # None: no TLS
    host_header: str
    idle: deque[DeadlineSocket]


class PooledAdapter(BaseAdapter):
    """Sends a prepared request once: it follows no redirect, repeats nothing and uses no proxy.

    A backend may close an idle connection at the moment a write is sent on it, and the outcome of that write would be
    unknown. So a connection that was idle for too long is not used again: that costs a handshake, an unknown outcome
    costs an operation.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__()
        self._settings = settings
        self._origins: dict[str, _Origin] = {}
        weakref.finalize(self, _close_idle, self._origins)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - requests' signature, here and below
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Return the complete response to a request within `timeout`, which is a Deadline or a number of seconds.

        Raises ResponseTooLarge, HTTPException or OSError; failures.py classifies them.
        """
        del stream, verify, cert, proxies  # always complete, always verified, always direct
        deadline = timeout.at if isinstance(timeout, Deadline) else time.monotonic() + timeout
        url = request.url or ""
        authority, slash, path = url[8:].partition("/")  # the first 8 characters hold "https://" or "http://" and more
        origin = self._origin(url[:8] + authority)
        body = _body(request)
        try:
            target = f"{slash or '/'}{path}"
            data = encode_request(request.method or "", target, _headers(request, origin.host_header, body), body)
        except ValueError as error:  # its text would quote the header
            raise requests.exceptions.InvalidHeader from error
        connection = self._checkout(origin) or self._connect(origin, deadline)
        connection.deadline = deadline
        try:
            _require_time_left(deadline)
            connection.send(data)
            message = read_response(connection, self._settings.max_reply_bytes)
        except BaseException:
            connection.close()
            raise
        self._release(origin, connection, message)
        response = requests.Response()
        response.status_code, response.headers = message.status, message.headers
        response.url, response.request = url, request
        response.raw = io.BytesIO(message.body)
        return response

    def close(self) -> None:
        """Close the idle connections."""
        _close_idle(self._origins)

    def _origin(self, url: str) -> _Origin:
        origin = self._origins.get(url)
        if origin is None:
            origin = self._origins[url] = self._parse_origin(url)
        return origin

    def _parse_origin(self, url: str) -> _Origin:
        try:
            parsed = parse_url(url)
            host = (parsed.host or "").strip("[]")
            host.encode("idna")  # as getaddrinfo does: a label that is empty or too long
        except (LocationParseError, UnicodeError) as error:
            raise requests.exceptions.InvalidURL("the URL cannot be parsed") from error
        if parsed.scheme not in {"http", "https"} or not host or parsed.query is not None:
            raise requests.exceptions.InvalidURL("the URL has no scheme http or https, no host, or no path")
        context, port = None, 80
        if parsed.scheme == "https":
            context, port = _tls_context(self._settings.ca_file), 443
        return _Origin(host, parsed.port or port, context, parsed.netloc or host, deque())

    def _checkout(self, origin: _Origin) -> DeadlineSocket | None:
        """Return an idle connection that can still be used, the last used first."""
        while True:
            try:
                connection = origin.idle.pop()
            except IndexError:
                return None
            if time.monotonic() - connection.last_used < self._settings.idle_seconds and connection.is_reusable():
                return connection
            connection.close()

    def _connect(self, origin: _Origin, deadline: float) -> DeadlineSocket:
        deadline = min(deadline, time.monotonic() + self._settings.connect_seconds)
        return connect(origin.host, origin.port, origin.context, deadline)

    def _release(self, origin: _Origin, connection: DeadlineSocket, message: HttpResponse) -> None:
        now = connection.last_used = time.monotonic()
        if message.keep_alive and len(origin.idle) < self._settings.concurrent_calls:
            origin.idle.append(connection)
        else:
            connection.close()
        # Connections are reused last in, first out; the oldest are at the left and are closed when idle for too long.
        try:
            while now - origin.idle[0].last_used >= self._settings.idle_seconds:
                origin.idle.popleft().close()
        except IndexError:  # none left, or another thread took it
            pass


def _require_time_left(deadline: float) -> None:
    """Raise ConnectTimeout after a deadline; called last before a send, as the process may have been suspended."""
    if time.monotonic() >= deadline:
        raise requests.ConnectTimeout("the deadline passed before the first byte")


def _close_idle(origins: Mapping[str, _Origin]) -> None:
    for origin in origins.values():
        while origin.idle:
            origin.idle.pop().close()


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that verifies servers by a private authority, or by the public ones that requests ships."""
    try:
        context = ssl.create_default_context(cafile=ca_file or DEFAULT_CA_BUNDLE_PATH)
    except OSError as error:  # readable at start, removed since
        raise ConnectError("the certificate authorities cannot be read") from error
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    return context


def _headers(request: requests.PreparedRequest, host: str, body: bytes) -> dict[str, str]:
    headers = {"Host": host, **request.headers}  # a signed request has its own Host, spelt the same way
    if body or request.body is not None or request.method not in {"GET", "DELETE"}:
        headers["Content-Length"] = str(len(body))
    return headers


def _body(request: requests.PreparedRequest) -> bytes:
    body = request.body or b""
    return body if isinstance(body, bytes) else body.encode()
