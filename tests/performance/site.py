"""Everything that is measured, running side by side in a temporary folder, and ended together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.performance import configuration, nginx, old_journal
from tests.performance.servers import ROOT, Server, free_address, gunicorn, serving

#: How many operations the old journal holds.
OLD: Final = 100_000


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where everything answers."""

    folder: Path
    backend: Server  # nginx with fixed replies
    sized: Server  # asyncio: scopes of any size, and counts
    proxy: Server
    floor: Server
    gateway: Server
    gateway_old: Server  # the same with an old journal
    gateway_sized: Server  # the same in front of `sized`
    naive: Server
    fastapi: Server


@contextmanager
def opened() -> Iterator[Site]:
    """Start everything for the time of a block; the journals lie where they lie in production, below var/."""
    (ROOT / "var").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=ROOT / "var") as name, ExitStack() as stack:
        folder = Path(name)
        starter = Starter(folder, stack)
        backend = starter.nginx("backend", nginx.stand_in)
        sized = starter.slow("sized", 0.0)
        yield Site(
            folder=folder,
            backend=backend,
            sized=sized,
            proxy=starter.nginx("proxy", lambda address: nginx.proxy(address, backend.address)),
            floor=starter.gunicorn("floor", "tests.performance.apps.floor:app"),
            gateway=starter.gateway("gateway", backend.url),
            gateway_old=starter.gateway("gateway_old", backend.url, old=OLD),
            gateway_sized=starter.gateway("gateway_sized", sized.url),
            naive=starter.naive(backend.url),
            fastapi=starter.fastapi(backend.url),
        )


class Starter:
    """Starts servers that end with a stack, each with a log, or a folder, of its own name."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack

    def nginx(self, name: str, configure: Callable[[str], str]) -> Server:
        """Start an nginx of one worker."""
        address = free_address()
        command = nginx.write(self._folder / name, configure(address))
        return self._start(name, command, address, ready="/ready")

    def slow(self, name: str, delay: float) -> Server:
        """Start the backend that can be slow and large, and that counts."""
        address = free_address()
        port = address.rpartition(":")[2]
        command = [sys.executable, "-m", "tests.performance.backend", port, str(delay)]
        return self._start(name, command, address, ready="/requests")

    def gunicorn(
        self, name: str, application: str, environ: Mapping[str, str] | None = None, *, ready: str = "/"
    ) -> Server:
        """Start gunicorn as production does, of one worker."""
        address = free_address()
        figures = self._folder / f"{name}-metrics"
        figures.mkdir()
        place = {"GATEWAY_BIND": address, "GATEWAY_WORKERS": "1", "PROMETHEUS_MULTIPROC_DIR": str(figures)}
        return self._start(name, gunicorn(application), address, ready=ready, environ={**place, **(environ or {})})

    def gateway(self, name: str, backend: str, *, old: int = 0) -> Server:
        """Start a gateway with everything on, over a journal that holds so many operations."""
        folder = self._folder / f"{name}-of"
        environ = configuration.write(folder, backend)
        if old:
            old_journal.fill(configuration.journal(folder), old)
        return self.gunicorn(name, "wsgi:app", environ, ready="/readyz")

    def naive(self, backend: str) -> Server:
        """Start the naive service on a sync worker, which closes every connection: it knows no other way."""
        address = free_address()
        options = ["-w", "1", "-k", "sync", "-b", address, "tests.performance.apps.naive:app"]
        command = [sys.executable, "-m", "gunicorn", *options]
        return self._start("naive", command, address, environ={"BENCH_CMDB": backend})

    def fastapi(self, backend: str) -> Server:
        """Start the asynchronous service on one process of uvicorn, which logs nothing."""
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
        return self._stack.enter_context(serving(command, address, log, ready=ready, environ=environ))
