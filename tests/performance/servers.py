"""Starts a server on a loopback address of its own and stops its process group."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_READY_TIMEOUT: Final = 30.0
_POLL_SECONDS: Final = 0.005
_STOP_TIMEOUT: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server."""

    address: str
    pid: int
    ready_seconds: float  # from the start of the process to its first response of 200

    @property
    def url(self) -> str:
        """Return the server's base URL."""
        return f"http://{self.address}"


def free_address() -> str:
    """Return a loopback address with a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def gunicorn_command(application: str, *options: str) -> list[str]:
    """Return the command that serves an application as in production."""
    return [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", *options, application]


@contextmanager
def run_server(
    command: Sequence[str], address: str, log: Path, *, ready: str = "/", environ: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server during a with block; `ready` is the path that answers 200 once the server is ready."""
    started = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environ or {})},
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, address, ready, log)
        yield Server(address=address, pid=process.pid, ready_seconds=time.monotonic() - started)
    finally:
        _stop(process)


def is_ready(address: str, path: str) -> bool:
    """Return whether a GET is answered with 200."""
    connection = HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, ready: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        if is_ready(address, ready):
            return
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to the process group, then SIGKILL after a timeout."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_TIMEOUT)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
