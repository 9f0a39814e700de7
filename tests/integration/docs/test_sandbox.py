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


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:  # a test has its own
        pass


@pytest.fixture
def ready() -> Iterator[str]:
    """The address of a gateway that is ready."""
    with HTTPServer(("127.0.0.1", 0), _Ready) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()


@pytest.fixture
def twins() -> Iterator[list[socket.socket]]:
    """Two twins, bound and not yet listening: whoever connects is refused."""
    made = [socket.socket() for _ in range(2)]
    for each in made:
        each.bind(("127.0.0.1", 0))
    yield made
    for each in made:
        each.close()


def test_nothing_is_printed_before_all_three_listen(
    ready: str, twins: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway is ready without its backends; who types the first command wants them too."""
    monkeypatch.setattr(sandbox, "_PATIENCE", 0.3)
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in twins]
    twins[0].listen()
    assert not sandbox._wait_ready(addresses, ready, [])
    twins[1].listen()
    assert sandbox._wait_ready(addresses, ready, [])


def test_who_ends_early_is_not_waited_for(ready: str, twins: list[socket.socket]) -> None:
    """Where one of the three has ended, the others will never be of use."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert not sandbox._wait_ready([f"127.0.0.1:{twins[0].getsockname()[1]}"], ready, [ended])
