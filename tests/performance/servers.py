"""Starts the measured servers, each as a process of its own on a loopback address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from tests.integration.http_client import CONNECTION_ERRORS, send
from tests.performance import nginx, old_journal
from tests.performance.messages import API_KEY, CREATE_CMDB, READ_CMDB

ROOT: Final = Path(__file__).parents[2]
#: The number of operations in the old journal.
OLD_OPERATIONS: Final = 100_000
_READY_TIMEOUT: Final = 30.0
_POLL_SECONDS: Final = 0.005
_STOP_TIMEOUT: Final = 5.0
_CONFIGURATION: Final = """
[server]
deadline_seconds = 10
[journal]
url = "sqlite:///{folder}/journal.db"
[auth]
mode = "required"
[[callers]]
name = "portal"
api_key_sha256 = "{digest}"
allow = ["*:cmdb:*", "*:projectman:*"]
[backends.cmdb]
type = "cmdb"
base_url = "{backend}"
app_code = "gateway"
app_secret = "env:BENCH_SECRET"
username = "admin"
[backends.projectman]
type = "projectman"
base_url = "{backend}"
access_key = "AKTEST"
secret_key = "env:BENCH_SECRET"
"""


class Server(NamedTuple):
    """A running server."""

    address: str
    pid: int
    ready_seconds: float  # from the start of the process to its first response of 200

    @property
    def url(self) -> str:
        return f"http://{self.address}"


class Servers(NamedTuple):
    """All running servers."""

    folder: Path
    backend: Server  # nginx with fixed responses
    sized: Server  # asyncio: scopes of any size, counts its requests
    proxy: Server
    floor: Server
    gateway: Server
    gateway_old: Server  # with an old journal
    gateway_sized: Server  # with `sized` as its backend
    naive: Server  # one sync worker, which closes the connection after each response
    fastapi: Server


@contextmanager
def run_server(
    folder: Path,
    command: str,
    *,
    ready: str = "/",
    address: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server during a with block; it is ready when the path `ready` answers 200.

    The fields {python}, {nginx}, {folder}, {address} and {port} of the command are filled in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address, log = address or free_address(), folder / "log"
    fields = {"python": sys.executable, "nginx": nginx.PROGRAM, "folder": folder, "address": address}
    arguments = [part.format(port=address.rpartition(":")[2], **fields) for part in command.split()]
    started = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            env={**os.environ, "GATEWAY_BIND": address, "GATEWAY_WORKERS": "1", **(environ or {})},
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while not _is_ready(address, ready):
            if time.monotonic() - started > _READY_TIMEOUT or process.poll() is not None:
                raise RuntimeError(f"{arguments} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(_POLL_SECONDS)
        yield Server(address, process.pid, time.monotonic() - started)
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_TIMEOUT)


def _is_ready(address: str, path: str) -> bool:
    with suppress(*CONNECTION_ERRORS):
        return send(address, "GET", path).status == 200
    return False


def free_address() -> str:
    """Return a loopback address with a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def run_nginx(folder: Path, address: str, configuration: str) -> AbstractContextManager[Server]:
    """Run an nginx with one worker, as an unprivileged user."""
    folder.mkdir()
    (folder / "nginx.conf").write_text(configuration, encoding="utf-8")
    command = "{nginx} -p {folder} -c {folder}/nginx.conf -e {folder}/error.log"
    return run_server(folder, command, ready="/ready", address=address)


def run_asyncio_backend(folder: Path, create_seconds: float = 0.0) -> AbstractContextManager[Server]:
    """Run the stub that has scopes of any size, and takes this long for a create."""
    return run_server(folder, f"{{python}} -m tests.performance.backend {{port}} {create_seconds}", ready="/requests")


def run_gunicorn(
    folder: Path, application: str, *, ready: str = "/", environ: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """Run gunicorn as in production, with one worker."""
    command = f"{{python}} -m gunicorn -c config/gunicorn.conf.py {application}"
    return run_server(folder, command, ready=ready, environ=environ)


def run_gateway(folder: Path, backend: str) -> AbstractContextManager[Server]:
    """Run a gateway with all features; its folder may hold a journal already."""
    return run_gunicorn(folder, "wsgi:app", ready="/readyz", environ=configure_gateway(folder, backend))


def configure_gateway(folder: Path, backend: str) -> Mapping[str, str]:
    """Write the configuration of a gateway into its folder; return its environment variables."""
    folder.mkdir(parents=True, exist_ok=True)
    path, digest = folder / "gateway.toml", sha256(API_KEY.encode()).hexdigest()
    path.write_text(_CONFIGURATION.format(folder=folder, digest=digest, backend=backend), encoding="utf-8")
    return {"GATEWAY_CONFIG": str(path), "BENCH_SECRET": "secret"}


@contextmanager
def run_servers() -> Iterator[Servers]:
    """Run all servers during a with block; the journals are below var/, as in production."""
    (ROOT / "var").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=ROOT / "var") as name, ExitStack() as stack:
        folder, run = Path(name), stack.enter_context
        stub, proxy = free_address(), free_address()
        url, direct = f"http://{stub}", {"BENCH_CMDB": f"http://{stub}"}
        naive = "{python} -m gunicorn -w 1 -k sync -b {address} tests.performance.apps.naive:app"
        fastapi = "{python} -m uvicorn --port {port} --no-access-log --log-level warning"
        fastapi += " tests.performance.apps.asynchronous:app"
        sized = run(run_asyncio_backend(folder / "sized"))
        backend = run(run_nginx(folder / "backend", stub, nginx.backend_stub(stub)))
        with run_gateway(folder / "gateway_old", url) as gateway:
            created = send(gateway.address, "POST", "/modules", CREATE_CMDB.body.encode(), CREATE_CMDB.headers)
            assert created.status == 201, created
        old_journal.copy_operation(folder / "gateway_old/journal.db", OLD_OPERATIONS)
        yield Servers(
            folder=folder,
            backend=backend,
            sized=sized,
            proxy=run(run_nginx(folder / "proxy", proxy, nginx.proxy(proxy, stub))),
            floor=run(run_gunicorn(folder / "floor", "tests.performance.apps.baseline:app")),
            gateway=run(run_gateway(folder / "gateway", url)),
            gateway_old=run(run_gateway(folder / "gateway_old", url)),
            gateway_sized=run(run_gateway(folder / "gateway_sized", sized.url)),
            naive=run(run_server(folder / "naive", naive, ready=READ_CMDB.path, environ=direct)),
            fastapi=run(run_server(folder / "fastapi", fastapi, ready=READ_CMDB.path, environ=direct)),
        )
