"""How gunicorn serves the gateway; every setting that an installation may want to change has a variable."""

import contextlib
import os
import signal
import socket
import tempfile
import time

from gunicorn.workers.ggevent import GeventWorker


class Worker(GeventWorker):
    """Gunicorn's own, but one that ends hangs up where nobody asks anything, instead of waiting for those."""

    idle = set()  # noqa: RUF012 - of the process: connections that are open and between two requests

    def handle(self, listener, client, addr):
        """Serve a connection to its end."""
        self.idle.add(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self.idle.discard(client)

    def handle_request(self, listener_name, req, sock, addr):
        """Serve one request of it."""
        self.idle.discard(sock)
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            self.idle.add(sock)

    def notify(self):
        """Say every second that we live; while ending, the listening sockets have been closed before."""
        super().notify()
        if not self.alive:
            for client in self.idle:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RD)  # what has arrived is still read, and answered


bind = os.environ.get("GATEWAY_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("GATEWAY_WORKERS", "1"))
worker_class = Worker
worker_connections = 2000
http_parser = "fast"  # gunicorn_h1c

# A request in flight may wait for a backend as long as its connection allows (hard_timeout_seconds, 35 by default).
timeout = 60
graceful_timeout = 40

# Longer than the idle time of the proxies in front: whoever closes first must not be us.
keepalive = 75

# One header may carry a token of 32 KiB.
limit_request_field_size = 65536
limit_request_line = 8190

accesslog = None  # the gateway writes its own access line
errorlog = "-"
loglevel = "warning"

# Where the workers lay down their figures, for one scrape to tell of all of them; before anything imports the client.
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="module-gateway-metrics-"))

# So long a worker that was told to end waits for creates on the way; less than graceful_timeout.
_DRAIN_SECONDS = 36.0


def post_worker_init(worker):
    """Turn readiness off and refuse new creates from the first SIGTERM on."""
    provisioner = worker.wsgi.extensions["provisioner"]
    stop = signal.getsignal(signal.SIGTERM)

    def drain(signal_number, frame):
        provisioner.draining = True
        stop(signal_number, frame)

    signal.signal(signal.SIGTERM, drain)


def worker_exit(server, worker):
    """Let creates on the way finish; what is left then, another process settles."""
    if not hasattr(worker, "wsgi"):
        return
    provisioner = worker.wsgi.extensions["provisioner"]
    until = time.monotonic() + _DRAIN_SECONDS
    while provisioner.in_flight() and time.monotonic() < until:
        time.sleep(0.05)
