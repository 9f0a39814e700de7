"""requests' adapter for one backend: urllib3 connects and verifies, the exchange itself is ours, and sent once."""

from __future__ import annotations

import ssl
import time
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from gateway.transport.deadline_socket import DeadlineSocket
from gateway.transport.http1 import Message, read_reply, write_request
from gateway.transport.settings import TransportSettings


class _Origin(NamedTuple):
    """Where a connection leads, and those that are open and idle, the freshest last."""

    secure: bool
    host: str
    port: int | None
    name: str  # for the Host header
    idle: deque[DeadlineSocket]


class PooledAdapter(HTTPAdapter):
    """Sends a prepared request as it is: no redirect is followed, nothing is repeated, no proxy is asked.

    An idle connection may have been closed by the backend at this very moment; a write on it would end as *unknown*
    although nothing was wrong. So one that idled for long is not used again: that costs a handshake, an unknown costs
    an operation.
    """

    def __init__(self, limits: TransportSettings) -> None:
        super().__init__()
        self._limits = limits
        self._origins: dict[str, _Origin] = {}
        weakref.finalize(self, _hang_up, self._origins)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 - requests' signature, here and below
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Exchange one request within `timeout` seconds altogether; raises what failures.py knows how to read."""
        del stream, verify, cert, proxies  # always whole, always verified, never by anybody else
        until = time.monotonic() + timeout
        url = request.url or ""
        head, slash, path = url[8:].partition("/")  # behind https:// at the latest
        origin = self._origin(url[:8] + head)
        try:
            start = f"{request.method} {slash or '/'}{path}"
            body = _body(request)
            data = write_request(start, _headers(request, origin.name, body), body)
        except ValueError as error:  # a character that no header can carry; its text would quote the header
            raise requests.exceptions.InvalidHeader from error
        connection = self._reused(origin) or self._connected(origin, timeout)
        connection.until = until
        try:
            connection.send(data)
            message = read_reply(connection, self._limits.max_reply_bytes)
        except BaseException:
            connection.close()
            raise
        self._put_back(origin, connection, message)
        return _Response(request, message)

    def close(self) -> None:
        """Close the idle connections."""
        _hang_up(self._origins)

    def _origin(self, url: str) -> _Origin:
        found = self._origins.get(url)
        if found is None:
            parsed = parse_url(url)
            if parsed.scheme not in {"http", "https"} or not parsed.host:
                raise LocationParseError(url)
            name = parsed.netloc or parsed.host
            found = _Origin(parsed.scheme == "https", parsed.host.strip("[]"), parsed.port, name, deque())
            self._origins[url] = found
        return found

    def _reused(self, origin: _Origin) -> DeadlineSocket | None:
        while True:
            try:
                connection = origin.idle.pop()
            except IndexError:
                return None
            if time.monotonic() - connection.used < self._limits.idle_seconds and connection.is_reusable():
                return connection
            connection.close()

    def _connected(self, origin: _Origin, seconds: float) -> DeadlineSocket:
        patience = min(self._limits.connect_seconds, seconds)
        if origin.secure:
            opened: HTTPConnection = HTTPSConnection(
                origin.host,
                origin.port,
                timeout=patience,
                cert_reqs=ssl.CERT_REQUIRED,
                ca_certs=self._limits.ca_file or DEFAULT_CA_BUNDLE_PATH,
            )
        else:
            opened = HTTPConnection(origin.host, origin.port, timeout=patience)
        opened.connect()
        return DeadlineSocket(opened.sock)

    def _put_back(self, origin: _Origin, connection: DeadlineSocket, message: Message) -> None:
        now = connection.used = time.monotonic()
        if message.reusable and len(origin.idle) < self._limits.concurrent_calls:
            origin.idle.append(connection)
        else:
            connection.close()
        # The freshest is used first, so those of a busier hour lie at the other end: nobody would hang up on them.
        try:
            while now - origin.idle[0].used >= self._limits.idle_seconds:
                origin.idle.popleft().close()
        except IndexError:  # somebody else was faster
            pass


def _hang_up(origins: Mapping[str, _Origin]) -> None:
    for origin in origins.values():
        while origin.idle:
            origin.idle.pop().close()


def _headers(request: requests.PreparedRequest, host: str, body: bytes) -> dict[str, str]:
    headers = {"Host": host, **request.headers}  # one that is signed is spelt so
    if body or request.body is not None or request.method not in {"GET", "DELETE"}:
        headers["Content-Length"] = str(len(body))
    return headers


def _body(request: requests.PreparedRequest) -> bytes:
    body = request.body or b""
    return body if isinstance(body, bytes) else body.encode()


class _Response(requests.Response):
    """A reply that is whole already; requests' own would make a jar for its cookies, at a tenth of an exchange."""

    def __init__(self, request: requests.PreparedRequest, message: Message) -> None:
        self.status_code = message.status
        self.headers = message.headers  # type: ignore[assignment] # names in any case, as in requests' own
        self.url = request.url or ""
        self.request = request
        self.raw = None
        self._content = message.body
        self._content_consumed = True
