"""The server of the twins: keep-alive, large headers, many connections, shutdown."""

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

IMPORTS = "from gateway.twins.cmdb import create_twin; from gateway.twins.server import serve; "


@pytest.fixture
def url() -> Iterator[str]:
    app = Flask("echo", static_folder=None)

    @app.route("/", methods=["GET", "POST"])
    def token_length() -> str:
        return str(len(request.headers.get("X-Auth-Token", "")))

    @app.route("/stream")
    def stream() -> Iterator[str]:
        return iter(["a", "b", "c"])

    @app.route("/abort")
    def abort() -> Iterator[str]:
        def raise_error(chunk: str) -> str:
            raise ConnectionAbortedError(chunk)

        return map(raise_error, ["not sent"])

    with running(app) as url:
        yield url


def test_a_connection_serves_many_requests(url: str) -> None:
    """All requests use one socket, also after a large body that the application does not read."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        stream = connection.makefile("rb")
        for size in (5, 3_000_000, 0):
            request_head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
            connection.sendall(request_head + b"x" * size)
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = dict(line.split(b": ", 1) for line in iter(lambda: stream.readline().strip(), b""))
            stream.read(int(headers[b"Content-Length"]))
        stream.close()


def test_a_stream_is_chunked(url: str) -> None:
    """A body of unknown length is sent with chunked encoding."""
    response = requests.get(f"{url}/stream", timeout=5)
    assert (response.text, response.headers["Transfer-Encoding"]) == ("abc", "chunked")


def test_a_long_header(url: str) -> None:
    """Tokens of 20 kB and 32 KiB."""
    for size in (20_000, 32 * 1024):
        assert requests.get(url, headers={"X-Auth-Token": "t" * size}, timeout=5).text == str(size)


def test_an_error_in_the_body_closes_the_connection(url: str) -> None:
    """After a ConnectionError from the first chunk the client gets no byte of a response."""
    with pytest.raises(requests.ConnectionError, match="without response"):
        requests.get(f"{url}/abort", timeout=5)


def test_three_hundred_concurrent_connections(url: str) -> None:
    """None is refused and all are served."""
    host, port = url.removeprefix("http://").split(":")
    connections = [socket.create_connection((host, int(port)), timeout=5) for _ in range(300)]
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    statuses = {connection.recv(15) for connection in connections}
    for connection in connections:
        connection.close()
    assert statuses == {b"HTTP/1.1 200 OK"}


def test_shutdown_leaves_no_thread(url: str) -> None:
    """Shutdown does not wait for a client that keeps its connection open."""
    before = threading.active_count()
    with running(Flask("other", static_folder=None)) as other, requests.Session() as session:
        session.get(other, timeout=5)
    assert threading.active_count() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_one_line_and_stops_on_a_signal(number: signal.Signals) -> None:
    """Exit status 0, nothing on standard error."""
    command = [sys.executable, "-W", "error", "-c", IMPORTS + "serve(create_twin(), '127.0.0.1', 0)"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("twin cmdb listening on http://127.0.0.1:")
    url = line.split()[-1]
    assert requests.get(f"{url}/twin/ledger", timeout=5).json() == {"writes": []}
    os.kill(process.pid, number)
    stdout, stderr = process.communicate(timeout=100)
    assert (process.returncode, stdout, stderr) == (0, "", "")
