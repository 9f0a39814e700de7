"""What proves that nothing was sent: no connection, no name, no trust, no time."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.app import SystemClock
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendMisconfigured, BackendTimeout, BackendUnavailable, GatewayError, OutcomeUnknown
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest, UpstreamResponse
from tests.unit.transport.rawserver import RawServer, Step, reply

Send = Callable[..., UpstreamResponse]
reads_and_writes = pytest.mark.parametrize("writes", [False, True])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that no public authority knows, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made with openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=twin", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*made, *names], check=True, capture_output=True)
    return cert, key


@pytest.fixture
def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.mark.loopback
@reads_and_writes
def test_a_refused_connection_proves_it(send: Send, writes: bool) -> None:
    """Where nobody listens, reads and writes alike are unavailable, which says: not applied."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(BackendUnavailable, match="nothing was sent"):
        send(f"http://127.0.0.1:{port}", is_write=writes)


@reads_and_writes
def test_a_name_that_cannot_be_resolved_proves_it(
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    writes: bool,
) -> None:
    """Without an address there is no connection."""

    def unresolvable(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolvable)
    with pytest.raises(BackendUnavailable, match="nothing was sent"):
        send("http://nohost.invalid", is_write=writes)


@reads_and_writes
def test_a_connection_not_made_in_time_proves_it(
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    writes: bool,
) -> None:
    """A connect timeout is no read timeout: even a read that met it may say that nothing was sent."""

    def unanswered(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("urllib3.util.connection.create_connection", unanswered)
    with pytest.raises(BackendUnavailable, match="nothing was sent"):
        send("http://nohost.invalid", is_write=writes)


@reads_and_writes
@pytest.mark.parametrize("url", ["http://.example", "http://127.0.0.1:99999", f"http://{'a' * 64}.example"])
def test_an_address_that_is_none_proves_it(send: Send, url: str, writes: bool) -> None:
    """What is no address at all is the operator's to correct."""
    with pytest.raises(BackendMisconfigured):
        send(url, is_write=writes)


@pytest.mark.loopback
@reads_and_writes
def test_an_unverifiable_certificate_proves_it(
    send: Send,
    server_context: ssl.SSLContext,
    writes: bool,
) -> None:
    """To a server that cannot prove who it is, no request and no credential is sent."""
    with RawServer([reply(b"{}")], tls=server_context) as server, pytest.raises(BackendMisconfigured):
        send(server.url, is_write=writes)
    assert (server.connections, server.requests) == (1, [])


@pytest.mark.loopback
def test_a_private_authority_can_be_named(certificate: tuple[Path, Path], server_context: ssl.SSLContext) -> None:
    """With ca_file the same certificate is verified, and TLS connections are kept alive too."""
    clock = SystemClock()
    transport = UpstreamClient(TransportSettings(ca_file=str(certificate[0])), clock)
    with RawServer([reply(b"{}"), Step.KEEP], tls=server_context) as server:
        request = UpstreamRequest(method="GET", url=server.url, headers={})
        for _ in range(2):
            assert transport.send(request, CallContext("r", clock.monotonic() + 3.0)).json() == {}
        transport.close()
    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.loopback
@reads_and_writes
@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_nothing_is_sent_after_the_deadline(
    send: Send,
    seconds: float,
    writes: bool,
) -> None:
    """A caller who has no time left is not answered with an unknown: nobody was asked."""
    expected: type[GatewayError] = BackendUnavailable if writes else BackendTimeout
    with RawServer([reply(b"{}")]) as server, pytest.raises(expected, match="before the request was sent"):
        send(server.url, is_write=writes, seconds=seconds)
    assert server.connections == 0


@pytest.mark.loopback
def test_the_connections_own_limit_counts_too() -> None:
    """hard_timeout_seconds ends an exchange although the caller has more time."""
    clock = SystemClock()
    transport = UpstreamClient(TransportSettings(hard_timeout_seconds=0.2), clock)
    with RawServer([30.0]) as server:
        request = UpstreamRequest(method="POST", url=server.url, headers={}, body=b"{}", is_write=True)
        with pytest.raises(OutcomeUnknown):
            transport.send(request, CallContext("r", clock.monotonic() + 60.0))
    transport.close()
