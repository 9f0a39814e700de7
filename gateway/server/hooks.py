"""gunicorn's server hooks, and its logger without access lines."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from typing import Any, Final

from gunicorn.glogging import Logger

_log: Final = logging.getLogger("gateway.server")
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
#: How long a stopping worker waits for creates in flight, in seconds; less than `graceful_timeout`.
_DRAIN_TIMEOUT: Final = 36.0
_POLL_INTERVAL: Final = 0.05


class SilentAccessLogger(Logger):  # type: ignore[misc] # gunicorn has no type hints
    """gunicorn's logger without its access log: the gateway writes its own access lines.

    gunicorn formats an access line for each request as soon as `logconfig_dict` is set, which takes 45 µs.
    """

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Write nothing."""


def pre_fork(_server: Any, _worker: Any) -> None:
    """Block stop signals until the child has its own handlers: the inherited ones only queue for the master."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)


def _unblock_stop_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


# gunicorn has no hook that runs in the master after a fork.
os.register_at_fork(after_in_parent=_unblock_stop_signals)


def post_fork(_server: Any, _worker: Any) -> None:
    """Let a signal end a worker that is starting, because it has nothing to finish."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    _unblock_stop_signals()
    # Collecting garbage while modules are loaded takes a tenth of the start and frees nothing.
    gc.disable()


def post_worker_init(worker: Any) -> None:
    """Turn garbage collection on, and log the start and the configuration's warnings once for all workers.

    If the journal cannot serve so many workers, the first of them stops the server: only gunicorn knows their number,
    which its command line and configuration file may set. The others end quietly, because gunicorn prints a traceback
    if two workers report a failed start.
    """
    extensions = worker.wsgi.extensions
    check_workers = extensions.get("check_workers")
    if error := check_workers and check_workers(worker.cfg.workers):
        if worker.age > 1:
            sys.exit(0)
        os.write(2, f"configuration: journal.url: {error}\n".encode())  # sys.stderr writes JSON by now
        sys.exit(3)
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # a request leaves few cycles; the default of 700 costs a percent of its time
    gc.enable()
    if worker.age == 1:  # the first worker of this master
        fields = {
            **extensions.get("start_fields", {}),
            "addresses": [format_address(listener.getsockname()) for listener in worker.sockets],
            "workers": worker.cfg.workers,
        }
        _log.info("gateway started", extra={"fields": fields})
        for warning in extensions.get("start_warnings", ()):
            _log.warning("configuration warning", extra={"fields": {"warning": warning}})


def format_address(address: Any) -> str:
    """Return HOST:PORT of an address that `socket.getsockname` returned, or unix:PATH."""
    if not isinstance(address, tuple):
        return f"unix:{address}"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def worker_exit(_server: Any, worker: Any) -> None:
    """Wait for creates in flight; those that do not finish are reconciled by another process."""
    if not hasattr(worker, "wsgi"):
        return
    provisioner = worker.wsgi.extensions["provisioner"]
    deadline = time.monotonic() + _DRAIN_TIMEOUT
    while provisioner.in_flight() and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL)


def child_exit(_server: Any, worker: Any) -> None:
    """Remove a dead worker's gauges from the shared metrics; its counters stay."""
    from prometheus_client import multiprocess  # noqa: PLC0415 - it reads PROMETHEUS_MULTIPROC_DIR when it is imported

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call] # the library has no hint for it
