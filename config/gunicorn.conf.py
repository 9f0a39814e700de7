"""How gunicorn serves the gateway; every setting that an installation may want to change has a variable."""

import contextlib
import gc
import math
import os
import signal
import socket
import tempfile
import time

import gevent
import gevent.events
from gunicorn.workers.ggevent import GeventWorker

from gateway.telemetry.logging_config import GUNICORN_LOGGING


class Worker(GeventWorker):
    """Gunicorn's own, but one that ends hangs up where nobody asks anything, instead of waiting for those."""

    idle = set()  # noqa: RUF012 - of the process: connections that are open and between two requests
    leaving = False  # told to end; answers as ever until whoever sends requests here has seen that it is not ready

    def handle(self, listener, client, addr):
        """Serve a connection to its end."""
        self.idle.add(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self.idle.discard(client)

    def handle_request(self, listener_name, req, sock, addr):
        """Serve one request of it, the last one where we are about to end."""
        self.idle.discard(sock)
        if self.leaving:
            req.force_close()  # the answer says so: the next request takes another connection, to somebody else
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            self.idle.add(sock)

    def handle_error(self, req, client, addr, exc):
        """Refuse what is no HTTP by the name of the mistake: its words quote the request, and with it a key."""
        with contextlib.suppress(TypeError):  # a class that is not Python's own; it quotes nothing
            exc.__class__ = type(type(exc).__name__, (type(exc),), {"__str__": lambda error: type(error).__name__})
        super().handle_error(req, client, addr, exc)

    def notify(self):
        """Say every second that we live; while ending, the listening sockets have been closed before."""
        super().notify()
        if not self.alive:
            for client in self.idle:
                with contextlib.suppress(OSError):
                    # What has arrived is still read, and answered. Not gevent's own shutdown: it would raise in the
                    # greenlet that waits for a request, whether or not one has come meanwhile.
                    client._sock.shutdown(socket.SHUT_RD)  # noqa: SLF001


# For each of the 25 things that it patches, gevent would look into what every installed package says of itself, for
# plugins that want to hear of it; there are none, and with thirty packages it takes a tenth of the start.
gevent.events.notify_and_call_entry_points = gevent.events.notify

# Every create has a greenlet of its own; where it was spawned, gevent would note at 15 µs, for nobody to read.
gevent.config.track_greenlet_tree = False

bind = os.environ.get("GATEWAY_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("GATEWAY_WORKERS", "1"))
worker_class = Worker
worker_connections = 2000
http_parser = "fast"  # gunicorn_h1c

# After SIGTERM: so long we only say that we are not ready, and go on as ever, for those in front to see it and choose
# others. Two intervals of their health checks and, for Envoy, a second more, for it hands on news that late
# (update_merge_window); 0 where something else takes us out before (a preStop sleep).
_LEAVE_SECONDS = float(os.environ.get("GATEWAY_LEAVE_SECONDS", "0"))

# A request in flight may wait for a backend as long as its connection allows (hard_timeout_seconds, 35 by default).
timeout = 60
graceful_timeout = 40 + math.ceil(_LEAVE_SECONDS)

# Longer than the idle time of the proxies in front: whoever closes first must not be us.
keepalive = int(os.environ.get("GATEWAY_KEEPALIVE_SECONDS", "75"))

# One header may carry a token of 32 KiB.
limit_request_field_size = 65536
limit_request_line = 8190

# A way to command a running gunicorn that nobody needs, in one place for all that run under the same user.
control_socket_disable = True

accesslog = None  # the gateway writes its own access line
errorlog = "-"
loglevel = "warning"
logconfig_dict = GUNICORN_LOGGING  # one sink for all lines: JSON, without secrets

# Where the workers lay down their figures, for one scrape to tell of all of them; before anything imports the client.
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="module-gateway-metrics-"))

# So long a worker that was told to end waits for creates on the way; less than graceful_timeout.
_DRAIN_SECONDS = 36.0

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def pre_fork(server, worker):
    """Hold back signals from here on: until it has handlers of its own, the child would queue them for nobody."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def _after_fork():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


os.register_at_fork(after_in_parent=_after_fork)


def post_fork(server, worker):
    """Let a signal end a worker that is still starting: it has nothing to finish."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    _after_fork()
    # What is loaded now lives to the end; to look for garbage in it would take a tenth of the start, and never end.
    gc.disable()


def post_worker_init(worker):
    """On SIGTERM turn readiness off at once; after the time to leave, or a second one, take no new creates and end."""
    from gateway.domain.errors import Draining  # noqa: PLC0415 - the master keeps no code of ours over a reload

    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # a request leaves few cycles behind; to look after every 700 objects is a percent
    gc.enable()
    service, stop = worker.wsgi, signal.getsignal(signal.SIGTERM)

    def not_ready():
        raise Draining

    def drain(signal_number=signal.SIGTERM, frame=None):
        service.extensions["provisioner"].draining = True
        stop(signal_number, frame)

    def leave(signal_number, frame):
        if worker.leaving or not _LEAVE_SECONDS:
            drain()
            return
        worker.leaving = True
        service.view_functions["health.readyz"] = not_ready
        gevent.spawn_later(_LEAVE_SECONDS, drain)

    signal.signal(signal.SIGTERM, leave)


def worker_exit(server, worker):
    """Let creates on the way finish; what is left then, another process settles."""
    if not hasattr(worker, "wsgi"):
        return
    provisioner = worker.wsgi.extensions["provisioner"]
    until = time.monotonic() + _DRAIN_SECONDS
    while provisioner.in_flight() and time.monotonic() < until:
        time.sleep(0.05)


def child_exit(server, worker):
    """Forget a dead worker's gauges; its counts stay."""
    from prometheus_client import multiprocess  # noqa: PLC0415 - only when it is needed, and after the folder is named

    multiprocess.mark_process_dead(worker.pid)
