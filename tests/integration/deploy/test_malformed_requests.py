"""A real process answers what its HTTP server refuses, or a caller does not complete, with a problem document."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

import pytest

from tests.integration.deploy.server_process import CONFIGURED, environment, free_port, get, running

pytestmark = pytest.mark.loopback
_HEAD: Final = "POST /modules HTTP/1.1\r\nHost: a\r\nX-Api-Key: key\r\nContent-Type: application/json\r\n"
_CHUNKED: Final = f"{_HEAD}Transfer-Encoding: chunked\r\n\r\n"
#: Raw bytes, and the status and code of the response.
REFUSED: Final = {
    # the body
    "chunk size": (f"{_CHUNKED}zz\r\n{{}}\r\n0\r\n\r\n", 400, "invalid_json"),
    "chunk terminator": (f"{_CHUNKED}2\r\n{{}}XX0\r\n\r\n", 400, "invalid_json"),
    "chunk extension": (f"{_CHUNKED}2;\x01\r\n{{}}\r\n0\r\n\r\n", 400, "invalid_json"),
    "trailer": (f"{_CHUNKED}2\r\n{{}}\r\n0\r\nBad Trailer: x\r\n\r\n", 400, "invalid_json"),
    "chunks end early": (f"{_CHUNKED}5\r\n{{", 400, "invalid_json"),
    "body ends early": (f"{_HEAD}Content-Length: 9\r\n\r\n{{}}  ", 400, "invalid_json"),
    "body too long": (f"{_HEAD}Content-Length: 300000\r\n\r\n{' ' * 300000}", 413, "payload_too_large"),
    # its length
    "two lengths": (f"{_HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", 400, "malformed_request"),
    "length is no number": (f"{_HEAD}Content-Length: two\r\n\r\n{{}}", 400, "malformed_request"),
    "negative length": (f"{_HEAD}Content-Length: -2\r\n\r\n{{}}", 400, "malformed_request"),
    "length of 5000 digits": (f"{_HEAD}Content-Length: {'9' * 5000}\r\n\r\n{{}}", 400, "malformed_request"),
    "length and chunks": (f"{_HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "malformed_request"),
    "transfer coding": (f"{_HEAD}Transfer-Encoding: gzip\r\n\r\n", 400, "malformed_request"),
    "unknown transfer coding": (f"{_HEAD}Transfer-Encoding: br, chunked\r\n\r\n", 400, "malformed_request"),
    "chunks in HTTP/1.0": (_CHUNKED.replace("1.1", "1.0"), 400, "malformed_request"),
    # headers
    "header name": (f"{_HEAD}Bad Name: x\r\n\r\n", 400, "malformed_request"),
    "header without colon": (f"{_HEAD}nothing\r\n\r\n", 400, "malformed_request"),
    "header value": (f"{_HEAD}X-A: a\x01b\r\n\r\n", 400, "malformed_request"),
    "space before colon": (f"{_HEAD}X-A : b\r\n\r\n", 400, "malformed_request"),
    "two hosts": (f"{_HEAD}Host: b\r\n\r\n", 400, "malformed_request"),
    "expectation": (f"{_HEAD}Expect: 102-nothing\r\n\r\n", 417, "malformed_request"),
    "header too long": (f"{_HEAD}X-A: {'a' * 70000}\r\n\r\n", 431, "malformed_request"),
    "too many headers": (_HEAD + "X-A: a\r\n" * 200 + "\r\n", 431, "malformed_request"),
    # the request line
    "line too long": (f"GET /{'a' * 9000} HTTP/1.1\r\nHost: a\r\n\r\n", 414, "malformed_request"),
    "HTTP/0.9": ("GET /livez\r\n\r\n", 400, "malformed_request"),
    "version": ("GET /livez HTTP/3.0\r\nHost: a\r\n\r\n", 400, "malformed_request"),
    "HTTP/2 preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed_request"),
    "method": ("get /livez HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_request"),
    "target": ("GET livez HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_request"),
    "target is not ASCII": ("GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed_request"),
    "nonsense": ("\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "malformed_request"),
    # a stalled request
    "body stalls": (f"{_HEAD}X-Request-Timeout-Ms: 300\r\nContent-Length: 9\r\n\r\n{{", 408, "request_timeout"),
    "chunks stall": (f"{_CHUNKED}5".replace("Host", "X-Request-Timeout-Ms: 300\r\nHost"), 408, "request_timeout"),
    "head stalls": ("POST /modules HTTP/1.1\r\nHost:", 408, "request_timeout"),
}  # fmt: skip
#: Headers that make no difference.
HARMLESS: Final = {
    "long host": f"Host: {'a' * 300}",
    "host label": f"Host: {'a' * 64}.example",
    "host is not ASCII": "Host: \xe9",
    "host with path": "Host: a/b",
    "port": f"Host: a:{'1' * 5000}",
    "empty host": "Host:",
    "no host": "X-A: b",
    "contradicting schemes": "Host: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off",
    "100-continue": "Host: a\r\nExpect: 100-Continue",
    "folded header": "Host: a\r\nX-A: a\r\n b",
    "underscore": "Host: a\r\nX_Api_Key: b",
    "upgrade": "Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
}


@pytest.fixture(scope="module", params=["TCP", "unix"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The address of a gateway whose deadline is two seconds, and whose caller has the key `key`."""
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    path = str(folder / "gateway.sock")
    environ = environment(folder, sha256(b"key").hexdigest())
    with (folder / "gateway.toml").open("a") as file:
        file.write("[server]\ndeadline_seconds = 2\n")
    address = ("127.0.0.1", port) if request.param == "TCP" else (path, 0)
    bind = f"127.0.0.1:{port}" if request.param == "TCP" else f"unix:{path}"
    with running((*CONFIGURED, "-b", bind), environ, *address):
        yield address


def exchange(address: tuple[str, int], raw: str, *, half_close: bool = False) -> bytes:
    """Send raw bytes on a new connection; return what is received until it is closed."""
    host, port = address
    with socket.socket(socket.AF_INET if port else socket.AF_UNIX) as connection:
        connection.settimeout(20.0)
        connection.connect(address if port else host)
        connection.sendall(raw.encode("latin-1"))
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def parse(response: bytes) -> tuple[int, dict[str, str], Any]:
    """Return status, headers and document of a single response."""
    head, _, body = response.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert len(body) == int(headers["content-length"]), response
    return int(status_line.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize(("raw", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_a_refused_request(socket_enabled: None, address: tuple[str, int], raw: str, status: int, code: str) -> None:
    """The only response is a problem document with a request id, and says that nothing was applied."""
    response = exchange(address, raw, half_close=code in {"invalid_json", "payload_too_large"})
    actual, headers, document = parse(response)
    assert (actual, document["code"], document["status"]) == (status, code, status), response
    assert headers["content-type"] == "application/problem+json"
    assert document["outcome"] == "not_applied"
    assert headers["connection"] == ("keep-alive" if code == "payload_too_large" else "close")  # its body was read
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-request-id"])
    assert document["request_id"] == headers["x-request-id"]
    if not raw.startswith("GET"):
        assert headers["gateway-outcome"] == "not_applied"


@pytest.mark.parametrize("headers", HARMLESS.values(), ids=HARMLESS)
def test_a_harmless_request(socket_enabled: None, address: tuple[str, int], headers: str) -> None:
    """It is answered like any other."""
    raw = f"GET /backends HTTP/1.1\r\n{headers}\r\nX-Api-Key: key\r\n"
    raw += "" if "Upgrade" in headers else "Connection: close\r\n"
    response = exchange(address, raw + "\r\n", half_close=True).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 200 OK\r\n"), response
    assert get(*address, "/livez")[0] == 200
