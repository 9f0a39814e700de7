"""gunicorn's server hooks, and its logger without access lines."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from gunicorn.glogging import Logger

from gateway.server.environment import read_environment
from gateway.telemetry.shared_memory import SETTINGS_VARIABLE, SharedMemory

_log: Final = logging.getLogger("gateway.server")
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
#: How long a stopping worker waits for creates in flight, in seconds; less than application.py's _GRACEFUL_SECONDS.
_DRAIN_TIMEOUT: Final = 36.0
_POLL_INTERVAL: Final = 0.05  # seconds
#: How long a reload may take to read the configuration, in seconds.
_CHECK_TIMEOUT: Final = 60


class _MetricsSlots:
    """The places of the workers in the memory that they share; the master hands them out."""

    def __init__(self) -> None:
        self.memory = SharedMemory()
        self._taken: set[int] = set()

    def take(self) -> int:
        """Return the lowest free place."""
        slot = next(number for number in itertools.count() if number not in self._taken)
        self._taken.add(slot)
        return slot

    def release(self, slot: int) -> None:
        """Make a place free, whose worker has ended."""
        self._taken.discard(slot)
        with suppress(OSError):
            self.memory.mark_ended(slot)


_metrics_slots: Final = _MetricsSlots()


class SilentAccessLogger(Logger):  # type: ignore[misc] # gunicorn has no type hints
    """gunicorn's logger without its access log: the gateway writes its own access lines.

    gunicorn formats an access line for each request as soon as `logconfig_dict` is set, which takes 45 µs.
    """

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Write nothing."""


def nworkers_changed(server: Any, _new: int, _old: int | None) -> None:
    """Add GATEWAY_ADMIN_BIND to the addresses to listen on, as the last one.

    gunicorn calls this hook whenever it has loaded its settings, before it opens sockets. The setting `bind` itself
    would be lost if the command line has `--bind`.
    """
    admin_bind = read_environment(os.environ).admin_bind
    addresses = [address for address in server.cfg.bind if address != admin_bind]
    if admin_bind:
        server.cfg.set("bind", [*addresses, admin_bind])


def on_starting(_server: Any) -> None:
    """Create the memory for the last valid configuration; a variable that was inherited belongs to another master."""
    os.environ[SETTINGS_VARIABLE] = str(SharedMemory().descriptor)


def when_ready(server: Any) -> None:
    """Let SIGHUP reload a valid configuration only; gunicorn itself would stop when the new workers cannot start."""
    reload: Any = signal.getsignal(signal.SIGHUP)

    def check_and_reload(signal_number: int, frame: FrameType | None) -> None:
        if _check_configuration(server):
            reload(signal_number, frame)

    signal.signal(signal.SIGHUP, check_and_reload)


def _check_configuration(server: Any) -> bool:
    """Return whether the configuration may be reloaded, and log each error.

    A child process reads it, because the master loads no code of the application, and stores it for the new workers.
    """
    memory = SharedMemory(int(os.environ[SETTINGS_VARIABLE]))
    if memory.read(0) is None:  # another application, or no worker has started
        return True
    arguments = {
        "descriptor": memory.descriptor,
        "workers": server.num_workers,
        "addresses": [listener.getsockname() for listener in server.LISTENERS],
        "gunicorn_file": server.cfg.config,
    }
    command = [sys.executable, "-m", "gateway.cli.check_reload", json.dumps(arguments)]
    try:
        child = subprocess.run(  # noqa: S603 - our own module
            command, pass_fds=[memory.descriptor], capture_output=True, text=True, timeout=_CHECK_TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        errors = [f"it could not be checked: {type(error).__name__}"]
    else:
        # A child that ended in another way than by its own verdict has written its reason to standard error.
        errors = child.stdout.splitlines() or child.stderr.splitlines()[-1:]
        if child.returncode == 0:
            _log.info("configuration reloaded")
            return True
    for line in errors:
        _log.error("configuration error", extra={"fields": {"error": line}})
    _log.error("configuration not reloaded", extra={"fields": {"effect": "the last valid configuration stays in use"}})
    return False


def pre_fork(_server: Any, worker: Any) -> None:
    """Block stop signals until the child has its own handlers: the master's handlers would not end the child.

    The worker also gets its place in the memory in which all workers share their metrics.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    worker.metrics_slot = _metrics_slots.take()


def _unblock_stop_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


# The master must unblock them too, and gunicorn has no hook that runs in the master after a fork.
os.register_at_fork(after_in_parent=_unblock_stop_signals)


def post_fork(_server: Any, _worker: Any) -> None:
    """Let a stop signal end a worker that is still starting, because it has nothing to finish."""
    for signal_number in _STOP_SIGNALS:
        signal.signal(signal_number, signal.SIG_DFL)
    _unblock_stop_signals()
    # Collecting garbage while modules are loaded takes a tenth of the start and frees nothing.
    gc.disable()


def post_worker_init(worker: Any) -> None:
    """Refuse a start that would break a promise; turn garbage collection on; log the start once for all workers.

    Only gunicorn knows its workers and listening sockets, which its command line and configuration file may set. The
    first worker stops the server and the others end quietly, because gunicorn prints a traceback if two workers report
    a failed start.
    """
    extensions = worker.wsgi.extensions
    if error := "check_workers" in extensions and start_error(extensions, worker.cfg.workers, _addresses(worker)):
        if worker.age > 1:
            sys.exit(0)
        # sys.stderr writes JSON by now; errors of the configuration are plain lines.
        os.write(2, f"configuration: {error}\n".encode())
        sys.exit(3)  # gunicorn stops instead of starting the worker again (`Arbiter.WORKER_BOOT_ERROR`)
    gc.freeze()
    # The loaded modules are frozen because they are never garbage. A request leaves few reference cycles; with the
    # default threshold of 700, collections take a percent of its time.
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
    if store_settings := extensions.get("store_settings"):
        _store_settings(store_settings)
    if share_metrics := extensions.get("share_metrics"):
        share_metrics(_metrics_slots.memory, worker.metrics_slot)
    if worker.age == 1:  # the first worker of this master
        fields = {
            **extensions.get("start_fields", {}),
            "addresses": [format_address(address) for address in _addresses(worker)],
            "workers": worker.cfg.workers,
        }
        _log.info("gateway started", extra={"fields": fields})
        for warning in extensions.get("start_warnings", ()):
            _log.warning("configuration warning", extra={"fields": {"warning": warning}})


def _addresses(worker: Any) -> list[Any]:
    return [listener.getsockname() for listener in worker.sockets]


def _store_settings(store_settings: Callable[[SharedMemory], None]) -> None:
    """Store the configuration of the first worker that starts for all that start later."""
    memory = SharedMemory(int(os.environ[SETTINGS_VARIABLE]))
    try:
        if memory.read(0) is None:
            store_settings(memory)
    except OSError as error:
        _log.error("configuration not stored", extra={"fields": {"error": str(error)}})


def start_error(extensions: Mapping[str, Any], workers: int, addresses: Iterable[Any]) -> str | None:
    """Return why a server with these workers and addresses to listen on must not start, or None.

    `extensions` are those of the application.
    """
    from gateway.domain.callers import is_local_address  # noqa: PLC0415 - the master loads no code of the application

    if error := extensions["check_workers"](workers):
        return f"journal.url: {error}"
    exposed = [format_address(address) for address in addresses if not is_local_address(address)]
    if not exposed or not extensions["loopback_only"]:
        return None
    text = "is none, which is allowed on loopback addresses only, and the server listens on"
    return f"auth.mode: {text} {', '.join(exposed)}"


def format_address(address: Any) -> str:
    """Return HOST:PORT or unix:PATH for an address that `socket.getsockname` returned."""
    if not isinstance(address, tuple):
        return f"unix:{address}"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def worker_exit(_server: Any, worker: Any) -> None:
    """Wait for creates in flight; another process reconciles the creates that do not finish in time."""
    if not hasattr(worker, "wsgi"):  # the worker ended before the application was loaded
        return
    provisioner = worker.wsgi.extensions["provisioner"]
    deadline = time.monotonic() + _DRAIN_TIMEOUT
    while provisioner.in_flight() and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL)


def child_exit(_server: Any, worker: Any) -> None:
    """Free a dead worker's place for the next worker; its gauges end, and its counters stay."""
    _metrics_slots.release(worker.metrics_slot)
