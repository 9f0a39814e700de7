"""`module-gateway sandbox`: the gateway and both twins on this machine, three processes that end together."""

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

import click

#: The variables of sandbox.toml that hold the twins' URLs.
_TWIN_ENV_VARS: Final = {"cmdb": "SANDBOX_CMDB", "projectman": "SANDBOX_PROJECTMAN"}
#: How long the three processes may take to start, in seconds.
_READY_TIMEOUT: Final = 30.0
_POLL_INTERVAL: Final = 0.1  # seconds
_CONFIG_PATH: Final = Path(__file__).with_name("sandbox.toml")
_BANNER: Final = """
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

  # the fields of a backend, and all error codes; or open http://{bind}/docs or http://{bind}/console
  curl -s http://{bind}/backends/cmdb
  curl -s http://{bind}/errors

Ctrl-C ends all three.
"""


@click.command()
@click.option(
    "--config", "config_path", type=click.Path(exists=True, dir_okay=False), help="Another configuration file."
)
@click.option("--bind", default="127.0.0.1:8000", show_default=True, help="HOST:PORT of the gateway.")
def sandbox(config_path: str | None, bind: str) -> None:
    """Start both twins and a gateway that uses them, and print commands to try."""
    host, port = parse_address(bind)
    try:  # another process on this address would answer in the gateway's place
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise click.ClickException(f"{bind}: {os.strerror(error.errno or 0)}") from None
    raise SystemExit(run(config_path or str(_CONFIG_PATH), bind))


def parse_address(bind: str) -> tuple[str, int]:
    """Return the host and the port of HOST:PORT; raises click.BadParameter."""
    host, _, port = bind.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 65536):  # noqa: PLR2004 - TCP's ports
        raise click.BadParameter("must be HOST:PORT", param_hint="--bind")
    return host.strip("[]"), int(port)


def run(config_path: str, bind: str) -> int:
    """Run all three processes until one of them ends or a signal arrives; return the exit status."""
    environ = {
        **os.environ,
        "GATEWAY_CONFIG": config_path,
        "GATEWAY_BIND": bind,
        # Credentials that the twins and the gateway share.
        "CMDB_APP_SECRET": secrets.token_hex(16),
        "HUAWEI_AK": secrets.token_hex(10).upper(),
        "HUAWEI_SK": secrets.token_hex(20),
    }
    twin_addresses = {name: f"127.0.0.1:{_free_port()}" for name in _TWIN_ENV_VARS}
    environ |= {_TWIN_ENV_VARS[name]: f"http://{address}" for name, address in twin_addresses.items()}
    twin_commands = [["twin", name, "--bind", address] for name, address in twin_addresses.items()]
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _raise_keyboard_interrupt)
    with ExitStack() as stack:
        # A journal for each run, because the twins lose their state when they end.
        journal_dir = stack.enter_context(TemporaryDirectory(prefix="module-gateway-"))
        environ["SANDBOX_JOURNAL"] = f"sqlite:///{journal_dir}/journal.db"
        processes = [_start(command, environ, stack) for command in [*twin_commands, ["serve"]]]
        try:
            if _wait_until_ready([*twin_addresses.values()], f"http://{bind}/readyz", processes):
                click.echo(_BANNER.format(bind=bind, twins=", ".join(twin_addresses.values())))
            while all(process.poll() is None for process in processes):
                time.sleep(_POLL_INTERVAL)
        except KeyboardInterrupt:
            return 0
    return 1


def _free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _start(command: list[str], environ: Mapping[str, str], stack: ExitStack) -> subprocess.Popen[bytes]:
    """Start a command of this program in a new process, which is terminated when `stack` closes."""
    argv = [sys.executable, "-m", "gateway.cli", *command]
    process = subprocess.Popen(argv, env=environ, start_new_session=True)  # noqa: S603 - this program's own commands
    stack.callback(_terminate, process)
    return process


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """End a process with SIGTERM, after ten seconds with SIGKILL, and wait for it."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_ready(
    twin_addresses: Sequence[str], readiness_url: str, processes: Sequence[subprocess.Popen[bytes]]
) -> bool:
    """Return whether all twins listen and the gateway is ready in time.

    The gateway's readiness does not depend on the twins, so they are checked separately.
    """
    deadline = time.monotonic() + _READY_TIMEOUT
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            for host, _, port in (address.rpartition(":") for address in twin_addresses):
                socket.create_connection((host, int(port)), timeout=1).close()
            with urllib.request.urlopen(readiness_url, timeout=1):  # noqa: S310 - the gateway's own address
                return True
        except OSError:
            time.sleep(_POLL_INTERVAL)
    return False


def _raise_keyboard_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
