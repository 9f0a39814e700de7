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
from gateway.transport.proxy import PROXY_AUTHENTICATION_REQUIRED, Proxy, ProxyAuthenticationRequired
from gateway.transport.settings import TransportSettings


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of an exchange, on time.monotonic(); a number of seconds would start with the adapter's first line."""

    at: float


class _ServerPool(NamedTuple):
    """How to connect to a server, and the idle connections to it."""

    host: str
    port: int
    tls_context: ssl.SSLContext | None  # None: no TLS
    host_header: str
    idle_connections: deque[DeadlineSocket]  # the last used at the right


class PooledAdapter(BaseAdapter):
    """Sends a prepared request once: it follows no redirect, repeats nothing and uses no proxy but the configured one.

    A backend may close an idle connection at the moment a write is sent on it, and the outcome of that write would be
    unknown. So a connection that was idle for too long is not used again; a new handshake costs less than an operation
    whose outcome is unknown.
    """

    def __init__(self, settings: TransportSettings) -> None:
        super().__init__()
        self._settings = settings
        self._proxy = None if settings.proxy_url is None else Proxy.parse(settings.proxy_url.value)
        self._pools: dict[str, _ServerPool] = {}  # by the URL of the server, without a path
        weakref.finalize(self, _close_idle_connections, self._pools)  # if nothing calls close()

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
        del stream, verify, cert, proxies  # always complete, always verified; the proxy is a setting
        deadline = timeout.at if isinstance(timeout, Deadline) else time.monotonic() + timeout
        url = request.url or ""
        # The path starts behind the scheme and the host; "http://" and a host are at least as long as "https://".
        path_start = url.find("/", len("https://"))
        server_url, path = (url, "/") if path_start < 0 else (url[:path_start], url[path_start:])
        pool = self._get_pool(server_url)
        body = _body_bytes(request)
        headers, target = _final_headers(request, pool.host_header, body), path
        is_forwarded = self._proxy is not None and pool.tls_context is None  # the proxy reads and forwards the request
        if self._proxy is not None and is_forwarded:
            headers, target = {**headers, **self._proxy.headers}, server_url + path
        try:
            data = encode_request(request.method or "", target, headers, body)
        except ValueError as error:
            raise requests.exceptions.InvalidHeader from error
        connection = self._checkout(pool) or self._connect(pool, deadline)
        connection.deadline = deadline
        try:
            _require_time_left(deadline)
            connection.send(data)
            http_response = read_response(connection, self._settings.max_reply_bytes)
        except BaseException:
            connection.close()
            raise
        self._release(pool, connection, http_response)
        if is_forwarded and http_response.status == PROXY_AUTHENTICATION_REQUIRED:  # the proxy has not forwarded it
            raise ProxyAuthenticationRequired("the proxy requires other credentials")
        response = requests.Response()
        response.status_code, response.headers = http_response.status, http_response.headers
        response.url, response.request = url, request
        response.raw = io.BytesIO(http_response.body)
        return response

    def close(self) -> None:
        """Close the idle connections."""
        _close_idle_connections(self._pools)

    def _get_pool(self, server_url: str) -> _ServerPool:
        pool = self._pools.get(server_url)
        if pool is None:
            pool = self._pools[server_url] = self._create_pool(server_url)
        return pool

    def _create_pool(self, server_url: str) -> _ServerPool:
        """Return an empty pool for SCHEME://HOST[:PORT]; raises requests' InvalidURL."""
        try:
            parsed = parse_url(server_url)
            host = (parsed.host or "").strip("[]")
            host.encode("idna")  # as getaddrinfo does; raises UnicodeError for a label that is empty or too long
        except (LocationParseError, UnicodeError) as error:
            raise requests.exceptions.InvalidURL("the URL cannot be parsed") from error
        if parsed.scheme not in {"http", "https"} or not host or parsed.query is not None:
            raise requests.exceptions.InvalidURL("the URL has no scheme http or https, no host, or no path")
        tls_context, default_port = None, 80
        if parsed.scheme == "https":
            tls_context, default_port = _create_tls_context(self._settings.ca_file), 443
        return _ServerPool(host, parsed.port or default_port, tls_context, parsed.netloc or host, deque())

    def _checkout(self, pool: _ServerPool) -> DeadlineSocket | None:
        """Return the last used connection that can be reused, None if there is none; close the unusable ones."""
        while True:
            try:
                connection = pool.idle_connections.pop()
            except IndexError:
                return None
            if time.monotonic() - connection.last_used < self._settings.idle_seconds and connection.is_reusable():
                return connection
            connection.close()

    def _connect(self, pool: _ServerPool, deadline: float) -> DeadlineSocket:
        deadline = min(deadline, time.monotonic() + self._settings.connect_seconds)
        if self._proxy is None:
            return connect(pool.host, pool.port, pool.tls_context, deadline)
        if pool.tls_context is None:
            return connect(self._proxy.host, self._proxy.port, None, deadline)
        return self._proxy.open_tunnel(pool.host, pool.port, pool.tls_context, deadline)

    def _release(self, pool: _ServerPool, connection: DeadlineSocket, http_response: HttpResponse) -> None:
        """Put a connection into the pool, or close it; also close the connections that have been idle for too long."""
        now = connection.last_used = time.monotonic()
        if http_response.keep_alive and len(pool.idle_connections) < self._settings.concurrent_calls:
            pool.idle_connections.append(connection)
        else:
            connection.close()
        try:
            # The connection that has been idle longest is at the left.
            while now - pool.idle_connections[0].last_used >= self._settings.idle_seconds:
                pool.idle_connections.popleft().close()
        except IndexError:  # none is left, perhaps because another thread took the last one
            pass


def _require_time_left(deadline: float) -> None:
    """Raise ConnectTimeout after a deadline; called last before a send, as the process may have been suspended."""
    if time.monotonic() >= deadline:
        raise requests.ConnectTimeout("the deadline passed before the first byte")


def _close_idle_connections(pools: Mapping[str, _ServerPool]) -> None:
    for pool in pools.values():
        while pool.idle_connections:
            pool.idle_connections.pop().close()


def _create_tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that trusts the authorities in `ca_file`, or the public ones that requests ships."""
    try:
        context = ssl.create_default_context(cafile=ca_file or DEFAULT_CA_BUNDLE_PATH)
    except OSError as error:  # the file was readable when the configuration was loaded
        raise ConnectError("the certificate authorities cannot be read") from error
    context.hostname_checks_common_name = False  # RFC 9110, 4.3.4: clients must ignore the common name
    context.set_alpn_protocols(["http/1.1"])
    return context


def _final_headers(request: requests.PreparedRequest, host: str, body: bytes) -> dict[str, str]:
    """Return the request's headers with Host and, if the request has a body or may have one, Content-Length."""
    headers = {"Host": host, **request.headers}  # a signed request has a header "Host", which takes precedence
    if body or request.body is not None or request.method not in {"GET", "DELETE"}:
        headers["Content-Length"] = str(len(body))
    return headers


def _body_bytes(request: requests.PreparedRequest) -> bytes:
    body = request.body or b""
    return body if isinstance(body, bytes) else body.encode()
