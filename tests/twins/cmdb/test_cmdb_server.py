"""How a twin is served: connections kept alive, large headers, bursts, a clean end."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import requests
from flask import Flask, request

from gateway.twins.server import running

pytestmark = pytest.mark.loopback

FOREGROUND = "from gateway.twins.cmdb import create_twin; from gateway.twins.server import serve; "


@pytest.fixture
def url() -> Iterator[str]:
    app = Flask("echo", static_folder=None)

    @app.route("/", methods=["GET", "POST"])
    def length() -> str:
        return str(len(request.headers.get("X-Auth-Token", "")))

    @app.route("/stream")
    def stream() -> Iterator[str]:
        return iter(["a", "b", "c"])

    @app.route("/hang-up")
    def hang_up() -> Iterator[str]:
        def cut(piece: str) -> str:
            raise ConnectionAbortedError(piece)

        return map(cut, ["never sent"])

    with running(app) as url:
        yield url


def test_a_connection_serves_many_requests(url: str) -> None:
    """One socket carries every request, even where a body of megabytes was not read by the application."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        answers = connection.makefile("rb")
        for size in (5, 3_000_000, 0):
            head_sent = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
            connection.sendall(head_sent + b"x" * size)
            assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
            head = dict(line.split(b": ", 1) for line in iter(lambda: answers.readline().strip(), b""))
            answers.read(int(head[b"Content-Length"]))
        answers.close()


def test_a_stream_is_chunked(url: str) -> None:
    """A body of unknown length arrives whole."""
    reply = requests.get(f"{url}/stream", timeout=5)
    assert (reply.text, reply.headers["Transfer-Encoding"]) == ("abc", "chunked")


def test_a_long_token_passes(url: str) -> None:
    """A token of 20 kB, and one of 32 KiB, fits into one header."""
    for size in (20_000, 32 * 1024):
        assert requests.get(url, headers={"X-Auth-Token": "t" * size}, timeout=5).text == str(size)


def test_a_broken_body_hangs_up_without_a_status_line(url: str) -> None:
    """A ConnectionError from the streamed body is what the client meets, with no byte of an answer."""
    with pytest.raises(requests.ConnectionError, match="without response"):
        requests.get(f"{url}/hang-up", timeout=5)


def test_three_hundred_connects_at_once(url: str) -> None:
    """None is refused and each can be served."""
    host, port = url.removeprefix("http://").split(":")
    connections = [socket.create_connection((host, int(port)), timeout=5) for _ in range(300)]
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    statuses = {connection.recv(15) for connection in connections}
    for connection in connections:
        connection.close()
    assert statuses == {b"HTTP/1.1 200 OK"}


def test_the_end_leaves_no_thread(url: str) -> None:
    """A client that keeps its connection open does not hold the twin."""
    before = threading.active_count()
    with running(Flask("other", static_folder=None)) as other, requests.Session() as session:
        session.get(other, timeout=5)
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_foreground_prints_one_line_and_ends_on_a_signal(number: signal.Signals) -> None:
    """Exit status 0, nothing on standard error."""
    command = [sys.executable, "-W", "error", "-c", FOREGROUND + "serve(create_twin(), '127.0.0.1', 0)"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("twin cmdb listening on http://127.0.0.1:")
    url = line.split()[-1]
    assert requests.get(f"{url}/twin/ledger", timeout=5).json() == {"writes": []}
    os.kill(process.pid, number)
    rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")
