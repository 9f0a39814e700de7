"""Starts all measured servers side by side in a temporary folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.performance import configuration, nginx, old_journal
from tests.performance.servers import ROOT, Server, free_address, gunicorn_command, run_server

#: The number of operations in the old journal.
OLD_OPERATIONS: Final = 100_000


@dataclass(frozen=True, kw_only=True)
class BenchServers:
    """The running servers."""

    folder: Path
    backend: Server  # nginx with fixed responses
    sized: Server  # asyncio: scopes of any size, counts its requests
    proxy: Server
    floor: Server
    gateway: Server
    gateway_old: Server  # with an old journal
    gateway_sized: Server  # with `sized` as its backend
    naive: Server
    fastapi: Server


@contextmanager
def run_servers() -> Iterator[BenchServers]:
    """Run all servers during a with block; the journals are below var/, as in production."""
    (ROOT / "var").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=ROOT / "var") as name, ExitStack() as stack:
        folder = Path(name)
        starter = ServerStarter(folder, stack)
        backend = starter.nginx("backend", nginx.backend_stub)
        sized = starter.slow_backend("sized", 0.0)
        yield BenchServers(
            folder=folder,
            backend=backend,
            sized=sized,
            proxy=starter.nginx("proxy", lambda address: nginx.proxy(address, backend.address)),
            floor=starter.gunicorn("floor", "tests.performance.apps.baseline:app"),
            gateway=starter.gateway("gateway", backend.url),
            gateway_old=starter.gateway("gateway_old", backend.url, old_operations=OLD_OPERATIONS),
            gateway_sized=starter.gateway("gateway_sized", sized.url),
            naive=starter.naive(backend.url),
            fastapi=starter.fastapi(backend.url),
        )


class ServerStarter:
    """Starts servers that stop with an exit stack; logs and files are named after the server."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack

    def nginx(self, name: str, configure: Callable[[str], str]) -> Server:
        """Start an nginx with one worker."""
        address = free_address()
        command = nginx.write_config(self._folder / name, configure(address))
        return self._start(name, command, address, ready="/ready")

    def slow_backend(self, name: str, delay: float) -> Server:
        """Start the asyncio backend; `delay` is the duration of a create in seconds."""
        address = free_address()
        port = address.rpartition(":")[2]
        command = [sys.executable, "-m", "tests.performance.backend", port, str(delay)]
        return self._start(name, command, address, ready="/requests")

    def gunicorn(
        self, name: str, application: str, environ: Mapping[str, str] | None = None, *, ready: str = "/"
    ) -> Server:
        """Start gunicorn as in production, with one worker."""
        address = free_address()
        metrics = self._folder / f"{name}-metrics"
        metrics.mkdir()
        settings = {"GATEWAY_BIND": address, "GATEWAY_WORKERS": "1", "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        command = gunicorn_command(application)
        return self._start(name, command, address, ready=ready, environ={**settings, **(environ or {})})

    def gateway(self, name: str, backend: str, *, old_operations: int = 0) -> Server:
        """Start a gateway with all features; its journal already holds `old_operations`."""
        folder = self._folder / f"{name}-of"
        environ = configuration.write(folder, backend)
        if old_operations:
            old_journal.fill(configuration.journal_path(folder), old_operations)
        return self.gunicorn(name, "wsgi:app", environ, ready="/readyz")

    def naive(self, backend: str) -> Server:
        """Start the naive service on one sync worker, which closes the connection after each response."""
        address = free_address()
        options = ["-w", "1", "-k", "sync", "-b", address, "tests.performance.apps.naive:app"]
        command = [sys.executable, "-m", "gunicorn", *options]
        return self._start("naive", command, address, environ={"BENCH_CMDB": backend})

    def fastapi(self, backend: str) -> Server:
        """Start the FastAPI service on one process of uvicorn, without an access log."""
        address = free_address()
        host, _, port = address.rpartition(":")
        options = ["--host", host, "--port", port, "--no-access-log", "--log-level", "warning"]
        command = [sys.executable, "-m", "uvicorn", *options, "tests.performance.apps.asynchronous:app"]
        return self._start("fastapi", command, address, environ={"BENCH_CMDB": backend})

    def _start(
        self,
        name: str,
        command: Sequence[str],
        address: str,
        *,
        ready: str = "/",
        environ: Mapping[str, str] | None = None,
    ) -> Server:
        log = self._folder / f"{name}.log"
        return self._stack.enter_context(run_server(command, address, log, ready=ready, environ=environ))
