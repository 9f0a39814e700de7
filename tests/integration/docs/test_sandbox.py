"""The sandbox says that it is ready when all of its three servers are."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from flask import Flask

from gateway.cli import sandbox
from gateway.twins.server import running

pytestmark = pytest.mark.loopback


@pytest.fixture
def readyz() -> Iterator[str]:
    """The URL of a gateway that is ready."""
    app = Flask("gateway")
    app.add_url_rule("/readyz", view_func=lambda: "")
    with running(app) as url:
        yield f"{url}/readyz"


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
