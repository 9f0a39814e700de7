"""An egress proxy: a tunnel by CONNECT for https, and the absolute form of a request target for http (RFC 9112, 3.2).

The proxy is a setting of the connection; the environment is never read.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

import requests

from gateway.transport.deadline_socket import ConnectError, DeadlineSocket, connect

_MAX_HEAD_BYTES: Final = 64 * 1024
_HEAD_END: Final = b"\r\n\r\n"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")
PROXY_AUTHENTICATION_REQUIRED: Final = 407
_DEFAULT_PORT: Final = 80


class ProxyRefused(ConnectError):
    """The proxy made no connection to the backend, so not a byte of the request was sent there."""


class ProxyAuthenticationRequired(ProxyRefused):
    """The proxy requires other credentials than those of its URL; the operator must correct them."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """The address of a proxy, and the headers that authenticate to it."""

    host: str
    port: int
    headers: Mapping[str, str]

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Return the proxy of a URL http://[USER:PASSWORD@]HOST[:PORT]."""
        parts = urlsplit(url)
        headers: dict[str, str] = {}
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Proxy-Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        return cls(parts.hostname or "", parts.port or _DEFAULT_PORT, headers)

    def open_tunnel(self, host: str, port: int, tls_context: ssl.SSLContext, deadline: float) -> DeadlineSocket:
        """Return a connection to a server over TLS through the proxy.

        Raises ConnectError, requests.ConnectTimeout or ssl.SSLCertVerificationError; each proves that nothing of a
        request was sent.
        """
        connection = connect(self.host, self.port, None, deadline)
        try:
            self._request_tunnel(connection, host, port)
            return connection.start_tls(tls_context, host)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise requests.ConnectTimeout("no tunnel before the deadline") from error
            # A certificate that cannot be verified is also an OSError, but the operator must correct it.
            if isinstance(error, OSError) and not isinstance(error, ConnectError | ssl.SSLCertVerificationError):
                raise ConnectError("no tunnel") from error
            raise

    def _request_tunnel(self, connection: DeadlineSocket, host: str, port: int) -> None:
        """Send CONNECT and read its response; raises ProxyRefused unless the proxy has connected to the server."""
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        headers = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        connection.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{headers}\r\n".encode("ascii"))
        head = b""
        while _HEAD_END not in head:
            data = connection.receive()
            head += data
            if not data or len(head) > _MAX_HEAD_BYTES:
                raise ProxyRefused("no response to CONNECT")
        status = int(match[1]) if (match := _STATUS_LINE.match(head)) else 0
        if status == PROXY_AUTHENTICATION_REQUIRED:
            raise ProxyAuthenticationRequired("the proxy requires other credentials")
        if status // 100 != 2 or not head.endswith(_HEAD_END):  # noqa: PLR2004 - RFC 9110, 9.3.6: 2xx, and no body
            raise ProxyRefused(f"the proxy responded {status}")
