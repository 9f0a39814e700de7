"""Runs a server of the gateway with any options, and sends it raw requests, also from an address of this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.integration.deploy.charts import ROOT

GUNICORN: Final = ("-m", "gunicorn", "wsgi:app")
CONFIGURED: Final = (*GUNICORN, "-c", "config/gunicorn.conf.py")
SERVE: Final = ("-m", "gateway.cli", "serve")
_CONFIGURATION: Final = """
[journal]
url = "sqlite:///{folder}/journal.db"
[backends.cmdb]
type = "cmdb"
base_url = "http://127.0.0.1:1"
app_code = "gateway"
app_secret = "env:APP_SECRET"
username = "admin"
"""
_CALLER: Final = """
[auth]
mode = "required"
[[callers]]
name = "portal"
api_key_sha256 = "{digest}"
allow = ["*:*:*"]
"""
#: Sends standard input to HOST PORT and prints the response; the tests themselves may use loopback addresses only.
_CLIENT: Final = """
import socket, sys
with socket.create_connection(sys.argv[1:], timeout=10) as connection:
    connection.sendall(sys.stdin.buffer.read())
    sys.stdout.buffer.write(b"".join(iter(lambda: connection.recv(65536), b"")))
"""
_OWN_ADDRESS: Final = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect(("198.51.100.1", 9))  # sends nothing; the system chooses the address it would send from
    print(probe.getsockname()[0])
"""


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a server without callers, or with `DIGEST=…` one whose callers must authenticate."""
    text = _CONFIGURATION.format(folder=folder)
    if digest := variables.pop("DIGEST", ""):
        text += _CALLER.format(digest=digest)
    (folder / "gateway.toml").write_text(text, encoding="utf-8")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("GATEWAY_", "GUNICORN_"))}
    return {**inherited, "GATEWAY_CONFIG": str(folder / "gateway.toml"), "APP_SECRET": "secret", **variables}


def run_until_exit(arguments: tuple[str, ...], environ: dict[str, str]) -> tuple[int, list[str]]:
    """Run a server that must not start; return its status and the lines on standard error that are not JSON."""
    run = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    return run.returncode, [line for line in run.stderr.splitlines() if not line.startswith("{")]


@contextmanager
def running(arguments: tuple[str, ...], environ: dict[str, str], address: Any) -> Iterator[None]:
    """Run a server during a with block, which begins when it accepts connections at this address."""
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 30.0
            while not exchange(address, "/livez"):
                assert process.poll() is None, "the server did not start"
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def request(path: str, *headers: str) -> bytes:
    """Return a GET request after which the connection closes."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: gateway", "Connection: close", *headers, "", ""]).encode()


def exchange(address: Any, path: str, *headers: str) -> tuple[int, Any] | None:
    """Send a request to (HOST, PORT) or to a Unix socket; return status and body, or None if nothing listens."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with suppress(ConnectionError, FileNotFoundError), socket.socket(family) as connection:
        connection.settimeout(10.0)
        connection.connect(address)
        connection.sendall(request(path, *headers))
        return parse(b"".join(iter(lambda: connection.recv(65536), b"")))
    return None


def exchange_outside(host: str, port: int, path: str) -> tuple[int, Any]:
    """Send a request to an address that is not loopback; return status and body."""
    command = [sys.executable, "-c", _CLIENT, host, str(port)]
    return parse(subprocess.run(command, input=request(path), capture_output=True, check=True, timeout=30).stdout)


def parse(response: bytes) -> tuple[int, Any]:
    """Return status and body of a response; a body that is not JSON is text."""
    head, _, body = response.partition(b"\r\n\r\n")
    try:
        return int(head.split(b" ", 2)[1]), json.loads(body)
    except ValueError:
        return int(head.split(b" ", 2)[1]), body.decode()


def own_address() -> str:
    """Return an IPv4 address of this machine that is not loopback; "" if it has none."""
    run = subprocess.run([sys.executable, "-c", _OWN_ADDRESS], capture_output=True, text=True, check=False)
    return run.stdout.strip()
