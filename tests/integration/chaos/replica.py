"""Runs gunicorn as in production, and stops its process group."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from tests.integration.http_client import CONNECTION_ERRORS, send

_START_TIMEOUT: Final = 30.0


class Replica:
    """One gunicorn; it can be started again on the same address after `kill` or `terminate`."""

    def __init__(
        self,
        environ: Mapping[str, str],
        log: Path,
        *,
        application: str,
        command_prefix: Sequence[str] = (),
        ready_path: str = "/readyz",
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._environ = {**os.environ, **environ, "GATEWAY_BIND": self.address}
        self._log = log
        self._ready_path = ready_path
        gunicorn = (sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", application)
        self._command = [*command_prefix, *gunicorn]

    @property
    def group(self) -> int:
        """The process group of master and workers."""
        return self._process.pid

    @property
    def workers(self) -> set[int]:
        """The process ids of the workers."""
        return set(map(int, Path(f"/proc/{self.group}/task/{self.group}/children").read_text().split()))

    def start(self) -> None:
        """Start and wait until the probe succeeds."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                cwd=Path(__file__).parents[3],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = monotonic() + _START_TIMEOUT
        while monotonic() < deadline and self._process.poll() is None:
            with suppress(*CONNECTION_ERRORS):
                if send(self.address, "GET", self._ready_path).status == 200:
                    return
            sleep(0.05)
        raise AssertionError(f"the gateway did not start: {self._log.read_text(errors='replace')[-4000:]}")

    def terminate(self) -> None:
        """Send SIGTERM to the master, as an orchestrator does."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Wait for the master to exit and return its exit status."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        """Kill all processes."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
