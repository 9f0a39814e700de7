"""The gateway and both twins on this machine, for trying things out: three processes that end together."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final

#: The variables of config/sandbox.toml that say where the twins listen.
_TWINS: Final = {"cmdb": "SANDBOX_CMDB", "projectman": "SANDBOX_PROJECTMAN"}
_PATIENCE: Final = 30.0
_LINES: Final = """
The gateway listens on http://{bind}, in front of twins of both backends ({twins}).
Try, in another terminal:

  # create a module in CMDB: business 1, set 10
  curl -i http://{bind}/modules -H 'Content-Type: application/json' \\
    -d '{{"backend": "cmdb", "scope": "1", "parent": "10", "name": "test", "owners": ["admin"]}}'

  # create a module in ProjectMan
  curl -i http://{bind}/modules -H 'Content-Type: application/json' \\
    -d '{{"backend": "projectman", "scope": "0792b7d26cb74bd799cbae80063dc74a", "name": "demo",
         "description": "module demo", "owners": ["09d75cde5180d4481f91c018e89cb8e2"]}}'

  # list, read, rename, delete
  curl -s 'http://{bind}/modules?backend=cmdb&scope=1'
  curl -s http://{bind}/modules/cmdb.1.10.37825
  curl -s -X PATCH http://{bind}/modules/cmdb.1.10.37825 -H 'Content-Type: application/json' -d '{{"name": "renamed"}}'
  curl -i -X DELETE http://{bind}/modules/cmdb.1.10.37825

  # what a backend can keep, and every error there is; or open http://{bind}/docs
  curl -s http://{bind}/backends/cmdb
  curl -s http://{bind}/errors

Ctrl-C ends all three.
"""


def run(config: str, bind: str) -> int:
    """Start everything, wait until one process ends or somebody says stop; return the exit status."""
    environ = {
        **os.environ,
        "GATEWAY_CONFIG": config,
        "GATEWAY_BIND": bind,
        # Made anew for each run: the twins and the gateway share them, nobody else needs them.
        "CMDB_APP_SECRET": secrets.token_hex(16),
        "HUAWEI_AK": secrets.token_hex(10).upper(),
        "HUAWEI_SK": secrets.token_hex(20),
    }
    addresses = {name: f"127.0.0.1:{_free_port()}" for name in _TWINS}
    environ |= {_TWINS[name]: f"http://{address}" for name, address in addresses.items()}
    commands = [
        [sys.executable, "-m", "gateway.cli", "twin", name, "--bind", address] for name, address in addresses.items()
    ]
    commands.append([sys.executable, "-m", "gunicorn", "-c", str(_gunicorn_config(config)), "wsgi:app"])
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _stop)
    with ExitStack() as stack:
        # The twins forget everything when they end, and so must the journal.
        journal = stack.enter_context(TemporaryDirectory(prefix="module-gateway-"))
        environ["SANDBOX_JOURNAL"] = f"sqlite:///{journal}/journal.db"
        processes = [_start(command, environ, stack) for command in commands]
        try:
            if _wait_ready([*addresses.values()], f"http://{bind}/readyz", processes):
                print(_LINES.format(bind=bind, twins=", ".join(addresses.values())), flush=True)  # noqa: T201 - it speaks to a person
            while all(process.poll() is None for process in processes):
                time.sleep(0.2)
        except KeyboardInterrupt:
            return 0
    return 1


def _free_port() -> int:
    """Return a port that nobody listens on: whatever else runs here, the twins find room."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _gunicorn_config(config: str) -> Path:
    return Path(config).with_name("gunicorn.conf.py")


def _start(command: list[str], environ: Mapping[str, str], stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start a process that is ended with the others, by its own id."""
    process = subprocess.Popen(command, env=environ, start_new_session=True)  # noqa: S603 - our own programs
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_ready(addresses: Sequence[str], url: str, processes: list[subprocess.Popen[bytes]]) -> bool:
    """Wait until the twins listen and the gateway is ready, which it is without them."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and all(process.poll() is None for process in processes):
        try:
            for host, _, port in (address.rpartition(":") for address in addresses):
                socket.create_connection((host, int(port)), timeout=1).close()
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own address
                return True
        except OSError:
            time.sleep(0.1)
    return False


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
