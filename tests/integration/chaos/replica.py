"""Runs gunicorn as in production, and stops its process group."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.integration.http_client import CONNECTION_ERRORS, send

_ROOT: Final = Path(__file__).parents[3]
_START_TIMEOUT: Final = 30.0


def free_address() -> str:
    """Return a loopback address with a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Replica:
    """One gunicorn; it can be started again on the same address after `kill` or `terminate`."""

    def __init__(self, environ: Mapping[str, str], log: Path, *, application: str) -> None:
        self.address = free_address()
        self._environ = {**os.environ, **environ, "GATEWAY_BIND": self.address}
        self._log = log
        self._application = application
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def group(self) -> int:
        """Return the process group of master and workers."""
        assert self._process
        return self._process.pid

    def start(self, *, limit: str | None = None) -> None:
        """Start and wait until ready; `limit` is a shell command to run first, such as ulimit."""
        command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", self._application]
        if limit:
            command = ["/bin/sh", "-c", f'{limit}; exec "$@"', "sh", *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environ, cwd=_ROOT, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(*CONNECTION_ERRORS):
                if send(self.address, "GET", "/readyz").status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the gateway did not start: {self.log()}")

    def terminate(self) -> None:
        """Send SIGTERM to the master, as an orchestrator does."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Wait for the master to exit and return its exit status."""
        assert self._process
        return self._process.wait(seconds)

    def kill(self) -> None:
        """Kill all processes."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def log(self) -> str:
        """Return the end of the log."""
        return self._log.read_text(errors="replace")[-4000:]
