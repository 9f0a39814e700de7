"""An egress proxy: a tunnel for https, the absolute form for http, and what proves that nothing was sent."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, Final

import pytest

from gateway.app import SystemClock
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendMisconfigured, BackendTimeout, BackendUnavailable, OutcomeUnknown
from gateway.settings import Secret
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse
from tests.unit.transport.certificates import create_certificate, server_context
from tests.unit.transport.rawserver import RawServer, Step, reply

pytestmark = pytest.mark.loopback
OPEN: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
AUTHORIZATION: Final = b"Proxy-Authorization: Basic " + base64.b64encode(b"us er:p@ss")


class _Tunnel(BaseRequestHandler):
    """Accepts CONNECT and relays bytes to its target."""

    def handle(self) -> None:
        server: Any = self.server
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(4096)
        server.heads.append(head)
        host, _, port = head.split()[1].decode().rpartition(":")
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port))) as target:
            self.request.sendall(OPEN)
            threading.Thread(target=self._relay, args=(target, self.request), daemon=True).start()
            self._relay(self.request, target)

    @staticmethod
    def _relay(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def tunnel() -> Iterator[Any]:
    with ThreadingTCPServer(("127.0.0.1", 0), _Tunnel) as server:
        server.daemon_threads = True
        server.heads = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_certificate(tmp_path_factory.mktemp("tls"))


def send(
    url: str, proxy: str, *, is_write: bool = True, ca_file: Path | None = None, times: int = 1, seconds: float = 3.0
) -> UpstreamResponse:
    """Send requests through a proxy; return the last response."""
    clock = SystemClock()
    settings = TransportSettings(proxy_url=Secret(proxy), ca_file=None if ca_file is None else str(ca_file))
    client = UpstreamClient(settings, clock)
    request = UpstreamRequest(
        method="POST" if is_write else "GET", url=url, headers={}, body=b"{}" if is_write else None, is_write=is_write
    )
    try:
        responses = [client.send(request, CallContext("r", clock.monotonic() + seconds)) for _ in range(times)]
    finally:
        client.close()
    return responses[-1]


def test_a_tunnel_for_https(tunnel: Any, certificate: Path) -> None:
    """The proxy sees CONNECT with its credentials, and the backend the request; the tunnel is kept for the next one."""
    proxy = f"http://us%20er:p%40ss@127.0.0.1:{tunnel.server_address[1]}"
    with RawServer([reply(b"{}"), Step.KEEP], [reply(b"{}")], tls=server_context(certificate)) as server:
        assert send(f"{server.url}/path?x=1", proxy, ca_file=certificate, times=2).status == 200
        requests = list(server.requests)
    (head,) = tunnel.heads
    assert head.startswith(b"CONNECT 127.0.0.1:")
    assert AUTHORIZATION in head
    assert len(requests) == 2
    assert requests[0].startswith(b"POST /path?x=1 HTTP/1.1")
    assert b"Proxy-" not in requests[0]


def test_the_absolute_form_for_http() -> None:
    """The proxy gets the whole URL, the backend's Host, and its own credentials."""
    with RawServer([reply(b"{}")]) as proxy:
        url = proxy.url.replace("http://", "http://us%20er:p%40ss@")
        assert send("http://backend.invalid:81/path?x=1", url, is_write=False).status == 200
        (request,) = proxy.requests
    assert request.startswith(b"GET http://backend.invalid:81/path?x=1 HTTP/1.1\r\nHost: backend.invalid:81\r\n")
    assert AUTHORIZATION in request


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("is_write", [True, False])
def test_a_proxy_that_refuses_the_connection(scheme: str, is_write: bool) -> None:
    """No connection to the proxy proves that nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(BackendUnavailable, match="nothing was sent"):
        send(f"{scheme}://backend.invalid/", proxy, is_write=is_write)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"], BackendUnavailable),
        ([b"HTTP/1.1 403 Forbidden\r\n\r\n"], BackendUnavailable),
        ([b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"], BackendMisconfigured),
        ([b"HTTP/1.1 200 OK\r\n\r\nsurplus"], BackendUnavailable),
        ([b"nonsense\r\n\r\n"], BackendUnavailable),
        ([b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000], BackendUnavailable),
        ([], BackendUnavailable),
        ([Step.RESET], BackendUnavailable),
        ([OPEN], BackendUnavailable),  # and closes instead of the handshake
        ([1.0], BackendUnavailable),  # beyond the deadline
    ],
    ids=["502", "403", "407", "surplus", "nonsense", "endless", "closes", "resets", "no-handshake", "silent"],
)
def test_a_tunnel_that_is_refused(script: Any, error: type[Exception]) -> None:
    """Without a tunnel nothing was sent, whatever the proxy did; refused credentials are the operator's error."""
    with RawServer(script) as proxy, pytest.raises(error):
        send("https://backend.invalid/", proxy.url, seconds=0.5)


def test_the_certificate_is_the_backends(tunnel: Any, certificate: Path) -> None:
    """A certificate that cannot be verified is refused through the proxy too."""
    proxy = f"http://127.0.0.1:{tunnel.server_address[1]}"
    with RawServer([reply(b"{}")], tls=server_context(certificate)) as server, pytest.raises(BackendMisconfigured):
        send(server.url, proxy)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([reply(b"", status="407 Proxy Authentication Required")], BackendMisconfigured),
        ([Step.RESET], OutcomeUnknown),
    ],
)
def test_a_forwarded_write(script: Any, error: type[Exception]) -> None:
    """407 proves that the proxy did not forward a request; a lost connection proves nothing."""
    with RawServer(script) as proxy, pytest.raises(error):
        send("http://backend.invalid/", proxy.url)


def test_a_forwarded_read_times_out() -> None:
    with RawServer([1.0]) as proxy, pytest.raises(BackendTimeout):
        send("http://backend.invalid/", proxy.url, is_write=False, seconds=0.3)


def test_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the setting connections are direct."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    clock = SystemClock()
    with RawServer([reply(b"{}")]) as server:
        client = UpstreamClient(TransportSettings(), clock)
        request = UpstreamRequest(method="GET", url=server.url, headers={})
        assert client.send(request, CallContext("r", clock.monotonic() + 3.0)).status == 200
        client.close()
