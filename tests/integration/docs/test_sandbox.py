from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from gateway.cli import sandbox

pytestmark = pytest.mark.loopback


class _ReadyHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def readyz() -> Iterator[str]:
    """The URL of a gateway that is ready."""
    with HTTPServer(("127.0.0.1", 0), _ReadyHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()


@pytest.fixture
def twins() -> Iterator[list[socket.socket]]:
    """The sockets of two twins, bound and not listening yet: connections are refused."""
    sockets = [socket.socket() for _ in range(2)]
    for twin in sockets:
        twin.bind(("127.0.0.1", 0))
    yield sockets
    for twin in sockets:
        twin.close()


def test_nothing_is_printed_before_all_three_listen(
    readyz: str, twins: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway is ready without its backends, but the first command to try needs them too."""
    monkeypatch.setattr(sandbox, "_READY_TIMEOUT", 0.3)
    addresses = [f"127.0.0.1:{twin.getsockname()[1]}" for twin in twins]
    twins[0].listen()
    assert not sandbox._wait_until_ready(addresses, readyz, [])
    twins[1].listen()
    assert sandbox._wait_until_ready(addresses, readyz, [])


def test_a_process_that_ended_is_not_waited_for(readyz: str, twins: list[socket.socket]) -> None:
    """If one of the three has ended, the wait ends."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert not sandbox._wait_until_ready([f"127.0.0.1:{twins[0].getsockname()[1]}"], readyz, [ended])
