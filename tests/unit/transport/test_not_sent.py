"""What proves that nothing was sent: no connection, no name, no valid certificate, no time."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.app import SystemClock
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendMisconfigured, BackendTimeout, BackendUnavailable, GatewayError, OutcomeUnknown
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse
from tests.unit.transport.certificates import create_certificate, server_context
from tests.unit.transport.rawserver import RawServer, Step, reply

Send = Callable[..., UpstreamResponse]
reads_and_writes = pytest.mark.parametrize("is_write", [False, True])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """A server's context."""
    return server_context(certificate)


def send_with_ca_file(url: str, ca_file: Path, *, times: int = 1) -> list[UpstreamResponse]:
    clock = SystemClock()
    client = UpstreamClient(TransportSettings(ca_file=str(ca_file)), clock)
    request = UpstreamRequest(method="POST", url=url, headers={}, body=b"{}", is_write=True)
    try:
        return [client.send(request, CallContext("r", clock.monotonic() + 3.0)) for _ in range(times)]
    finally:
        client.close()


@pytest.mark.loopback
@reads_and_writes
def test_a_refused_connection(send: Send, is_write: bool) -> None:
    """Reads and writes alike are unavailable, which means: not applied."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(BackendUnavailable, match="nothing was sent"):
        send(f"http://127.0.0.1:{port}", is_write=is_write)


@reads_and_writes
def test_a_name_that_cannot_be_resolved(send: Send, monkeypatch: pytest.MonkeyPatch, is_write: bool) -> None:
    """Without an address there is no connection."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(BackendUnavailable, match="nothing was sent"):
        send("http://nohost.invalid", is_write=is_write)


@pytest.mark.loopback
@reads_and_writes
def test_a_connect_timeout(send: Send, monkeypatch: pytest.MonkeyPatch, is_write: bool) -> None:
    """It is no read timeout: a read that meets it has not been sent either."""

    def time_out(*_: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket.socket, "connect", time_out)
    with pytest.raises(BackendUnavailable, match="nothing was sent"):
        send("http://127.0.0.1", is_write=is_write)


@reads_and_writes
@pytest.mark.parametrize(
    "url",
    [
        "http://.example",
        "http://127.0.0.1:99999",
        f"http://{'a' * 64}.example",
        "ftp://127.0.0.1/",
        "http:///path",
        "http://a b/",
        "http://[::1/",
    ],
)
def test_an_invalid_address(send: Send, url: str, is_write: bool) -> None:
    """The operator must correct it."""
    with pytest.raises(BackendMisconfigured):
        send(url, is_write=is_write)


@pytest.mark.loopback
@reads_and_writes
def test_a_certificate_that_cannot_be_verified(send: Send, tls: ssl.SSLContext, is_write: bool) -> None:
    """No request and no credential is sent to a server that cannot prove its identity."""
    with RawServer([reply(b"{}")], tls=tls) as server, pytest.raises(BackendMisconfigured):
        send(server.url, is_write=is_write)
    assert (server.connections, server.requests) == (1, [])


@pytest.mark.loopback
def test_a_private_authority(certificate: Path, tls: ssl.SSLContext) -> None:
    """With ca_file the same certificate is verified, and TLS connections are kept alive too."""
    with RawServer([reply(b"{}"), Step.KEEP], tls=tls) as server:
        assert [response.json() for response in send_with_ca_file(server.url, certificate, times=2)] == [{}, {}]
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.loopback
def test_the_common_name_of_a_certificate_is_not_read(tmp_path: Path) -> None:
    """Only its alternative names are (RFC 9110, 4.3.4)."""
    file = create_certificate(tmp_path, extension="extendedKeyUsage=serverAuth")
    with RawServer([reply(b"{}")], tls=server_context(file)) as server, pytest.raises(BackendMisconfigured):
        send_with_ca_file(server.url.replace("127.0.0.1", "localhost"), file)
    assert server.requests == []


@pytest.mark.loopback
@pytest.mark.parametrize("script", [[b"HTTP/1.1 400 Bad Request\r\n\r\n"], [Step.RESET], []])
def test_a_server_without_tls(certificate: Path, script: list[bytes | float | Step]) -> None:
    """A handshake that fails proves that no request was sent, also for a write."""
    with RawServer(script, reads=False) as server, pytest.raises(BackendUnavailable, match="nothing was sent"):
        send_with_ca_file(server.url.replace("http:", "https:"), certificate)


@pytest.mark.loopback
def test_authorities_that_were_removed(tmp_path: Path) -> None:
    """A ca_file that can no longer be read: no connection is made."""
    with RawServer([reply(b"{}")]) as server, pytest.raises(BackendUnavailable, match="nothing was sent"):
        send_with_ca_file(server.url.replace("http:", "https:"), tmp_path / "removed.pem")
    assert server.connections == 0


@pytest.mark.loopback
@reads_and_writes
@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_deadline_that_has_passed(send: Send, seconds: float, is_write: bool) -> None:
    """The outcome of a write is not unknown: no connection was made."""
    error: type[GatewayError] = BackendUnavailable if is_write else BackendTimeout
    with RawServer([reply(b"{}")]) as server, pytest.raises(error, match="before the request was sent"):
        send(server.url, is_write=is_write, seconds=seconds)
    assert server.connections == 0


@pytest.mark.loopback
def test_the_hard_timeout_ends_an_exchange() -> None:
    """hard_timeout_seconds applies even if the caller has more time."""
    clock = SystemClock()
    client = UpstreamClient(TransportSettings(hard_timeout_seconds=0.2), clock)
    with RawServer([30.0]) as server:
        request = UpstreamRequest(method="POST", url=server.url, headers={}, body=b"{}", is_write=True)
        with pytest.raises(OutcomeUnknown):
            client.send(request, CallContext("r", clock.monotonic() + 60.0))
    client.close()
