"""Callers that stall cannot keep a real process from answering others, nor its probes and metrics."""

from __future__ import annotations

import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.integration.deploy.server_process import (
    CONFIGURED,
    SERVE,
    environment,
    free_port,
    get,
    run_until_exit,
    running,
)

pytestmark = pytest.mark.loopback
_BODY: Final = b"POST /modules HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
#: What callers send before they stall.
STALLED: Final = {
    "body": _BODY,
    "body of an unknown path": _BODY.replace(b"/modules", b"/nothing"),
    "head": b"POST /modules HTTP/1.1\r\nHost:",
    "nothing": b"",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int, int]]:
    """Host, port and admin port of a gateway with one worker, whose deadline is longer than the tests."""
    folder, port, admin_port = tmp_path_factory.mktemp("gateway"), free_port(), free_port()
    environ = environment(folder, GATEWAY_ADMIN_BIND=f"127.0.0.1:{admin_port}")
    with (folder / "gateway.toml").open("a") as file:
        file.write("[server]\ndeadline_seconds = 600\n")
    with running((*CONFIGURED, "-b", f"127.0.0.1:{port}"), environ, "127.0.0.1", port):
        yield "127.0.0.1", port, admin_port


@contextmanager
def stalled(port: int, raw: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Open connections that send these bytes and wait, during a with block."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, limit[1]), limit[1]))
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            connection.sendall(raw)
            connections.append(connection)
        yield connections


@pytest.mark.parametrize("raw", STALLED.values(), ids=STALLED)
def test_others_are_answered(socket_enabled: None, address: tuple[str, int, int], raw: bytes) -> None:
    """With 2,100 stalled connections, more than a worker may have, callers, probes and metrics get their responses."""
    host, port, admin_port = address
    with stalled(port, raw, 2100):
        for _ in range(3):
            assert get(host, port, "/backends", timeout=60)[0] == 200
            for path in ("/livez", "/readyz", "/metrics"):
                assert get(host, admin_port, path, timeout=60)[0] == 200


def test_a_connection_that_makes_room_is_answered(socket_enabled: None, address: tuple[str, int, int]) -> None:
    """The longest stalled request gets 503 `overloaded`, which says that nothing was applied."""
    with stalled(address[1], _BODY, 2100) as connections:
        connections[0].settimeout(60)
        response = b"".join(iter(lambda: connections[0].recv(65536), b""))
    assert response.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"overloaded"' in response
    assert b"Gateway-Outcome: not_applied" in response


@pytest.mark.parametrize("path", ["/backends", "/modules", "/docs", "/errors", "/livez/", "//livez", "/%6civez"])
def test_the_admin_address_serves_nothing_else(socket_enabled: None, address: tuple[str, int, int], path: str) -> None:
    """Any other path is 404 there; at the public address the three paths stay."""
    host, port, admin_port = address
    status, document = get(host, admin_port, path, timeout=60)
    assert (status, document["code"]) == (404, "not_found")
    assert get(host, port, "/livez")[0] == get(host, port, "/metrics")[0] == 200


def test_two_workers_share_the_admin_address(tmp_path: Path) -> None:
    """With a mount point, a Unix socket of two workers answers with and without the prefix."""
    port, admin = free_port(), str(tmp_path / "admin.sock")
    variables = {"GATEWAY_ADMIN_BIND": f"unix:{admin}", "SCRIPT_NAME": "/gateway"}
    arguments = (*SERVE, "--bind", f"127.0.0.1:{port}", "--workers", "2")
    with running(arguments, environment(tmp_path, **variables), "127.0.0.1", port):
        for path in ("/livez", "/gateway/livez"):
            assert get(admin, 0, path) == (200, {"status": "alive"})
        assert get("127.0.0.1", port, "/elsewhere")[1]["code"] == "not_found"
        text = get(admin, 0, "/metrics")[1]
        assert re.search(r"^gateway_requests_in_flight", text, re.MULTILINE)


def test_without_authentication_the_admin_address_must_be_local(tmp_path: Path) -> None:
    """It is judged like every listening socket."""
    bind = f"0.0.0.0:{free_port()}"
    arguments = (*CONFIGURED, "-b", "127.0.0.1:0")
    status, lines = run_until_exit(arguments, environment(tmp_path, GATEWAY_ADMIN_BIND=bind))
    assert status == 3
    assert len(lines) == 1
    assert lines[0].endswith(f"the server listens on {bind}")
