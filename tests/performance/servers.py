"""Starts what is measured, on loopback addresses of its own, and ends it by its own process group."""

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
_READY_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.005
_END_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server."""

    address: str
    pid: int
    ready_seconds: float  # from the start of the process to its first answer of success

    @property
    def url(self) -> str:
        """Return where it is, as an address for a client."""
        return f"http://{self.address}"


def free_address() -> str:
    """Return a loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def gunicorn(application: str, *options: str) -> list[str]:
    """Return the command that serves as production does."""
    return [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", *options, application]


@contextmanager
def serving(
    command: Sequence[str], address: str, log: Path, *, ready: str = "/", environ: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server for the time of a block; `ready` is the address that answers 200 once it takes requests."""
    started = time.monotonic()
    with log.open("ab") as written:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environ or {})},
            cwd=ROOT,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    try:
        _await(process, address, ready, log)
        yield Server(address=address, pid=process.pid, ready_seconds=time.monotonic() - started)
    finally:
        _end(process)


def answers(address: str, path: str) -> bool:
    """Tell whether a GET is answered with 200."""
    connection = HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _await(process: subprocess.Popen[bytes], address: str, ready: str, log: Path) -> None:
    until = time.monotonic() + _READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if answers(address, ready):
            return
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, and end what has not."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
