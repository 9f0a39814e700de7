"""Runs a server of the gateway with any options, and sends requests to it over TCP or a Unix socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any, Final

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


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def environment(folder: Path, digest: str = "", **variables: str) -> dict[str, str]:
    """Return the variables of a server without callers, or of one that has a caller with this digest of its key."""
    config = folder / "gateway.toml"
    caller = _CALLER.format(digest=digest) if digest else ""
    config.write_text(_CONFIGURATION.format(folder=folder) + caller, encoding="utf-8")
    return {"GATEWAY_CONFIG": str(config), "APP_SECRET": "secret", **variables}


def _inherit(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the tests' own environment without variables of a server, with these."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("GATEWAY_", "GUNICORN_"))}
    return {**inherited, **variables}


def run_until_exit(arguments: Sequence[str], variables: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run a server that must not start; return its status and the lines on standard error that are not JSON."""
    environ = _inherit(variables)
    run = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    return run.returncode, [line for line in run.stderr.splitlines() if not line.startswith("{")]


@contextmanager
def running(
    arguments: Sequence[str], variables: Mapping[str, str], host: str, port: int = 0, log: IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a server during a with block, which begins when it responds at this address; return its master process."""
    command, environ, nothing = [sys.executable, *arguments], _inherit(variables), subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=nothing, stderr=log or nothing, text=True) as process:
        try:
            deadline = time.monotonic() + 60.0
            while not _responds(host, port):
                assert process.poll() is None, "the server did not start"
                assert time.monotonic() < deadline, "the server does not respond"
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()


def worker_pids(process: subprocess.Popen[str]) -> set[int]:
    """Return the processes that a master has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return {int(pid) for pid in children.split()}


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def get(host: str, port: int, path: str, *headers: tuple[str, str], timeout: float = 10) -> tuple[int, Any]:
    """Send a request; return status and body, which is text if it is not JSON. A port of 0: host is a Unix socket."""
    with closing(HTTPConnection(host, port or None, timeout=timeout)) as connection:
        if not port:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(host)
        connection.request("GET", path, headers={"Host": "gateway"} | dict(headers))
        response = connection.getresponse()
        body = response.read().decode()
    try:
        return response.status, json.loads(body)
    except ValueError:
        return response.status, body


def _responds(host: str, port: int) -> bool:
    try:
        return bool(get(host, port, "/livez"))
    except OSError:
        return False
