"""A gunicorn worker with deadlines for requests, problem documents for malformed ones, and a graceful end."""

from __future__ import annotations

import os
from contextlib import suppress
from types import FrameType, SimpleNamespace
from typing import Any, Final, NoReturn
from wsgiref.util import setup_testing_defaults

import gevent
from gevent import config
from gunicorn.http.wsgi import Response
from gunicorn.workers.ggevent import GeventWorker

from gateway.server.connection import Connections, RequestBody
from gateway.server.environment import read_environment

#: What the listening socket of GATEWAY_ADMIN_BIND serves.
_ADMIN_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
_DEFAULT_REQUEST_SECONDS: Final = 10.0
#: Headers of a malformed request that shape the response.
_KEPT_HEADERS: Final = frozenset({"X-REQUEST-ID", "ACCEPT-LANGUAGE"})
#: Only the gateway's own application has this extension.
_APPLICATION_KEY: Final = "gateway"


class DrainingGeventWorker(GeventWorker):  # type: ignore[misc] # gunicorn has no type hints
    """gunicorn's gevent worker with a graceful end: readiness is withdrawn first, idle connections are closed last."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.connections: dict[Any, Connections] = {}  # by listening socket
        # After SIGTERM, for `deregister_seconds`: /readyz answers 503 and everything else is served as before.
        self.deregistering = False
        self.has_closed_idle = False
        environment = read_environment(os.environ)
        self.deregister_seconds = environment.deregister_seconds
        self.admin_bind = environment.admin_bind

    def init_process(self) -> None:
        """Start in the forked process, and serve until the worker ends."""
        # Every create spawns a greenlet, and gevent's record of where it was spawned takes 15 µs.
        config.track_greenlet_tree = False
        super().init_process()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection until it is closed."""
        connections = self.connections.get(listener)
        if connections is None:
            seconds = _extensions(self.wsgi).get("deadline_seconds", _DEFAULT_REQUEST_SECONDS)
            is_admin = bool(self.admin_bind) and listener is self.sockets[-1]
            connections = Connections(self.worker_connections, self.cfg.keepalive, seconds, is_admin=is_admin)
            self.connections[listener] = connections
        with connections.open(client) as connection:
            super().handle(listener, connection, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve one request of a connection; while the worker deregisters, the response closes the connection."""
        sock.start_request()
        if self.deregistering:
            req.force_close()  # the client sends its next request on a new connection, to another process
        if sock.is_admin:
            _restrict_to_admin_paths(req)
        req.body = body = RequestBody(req, sock)
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            sock.end_request(complete=body.finish())
        if sock.lingering:
            raise StopIteration  # gunicorn's own way to close a connection

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that gunicorn refuses, or cannot complete, with a problem document, and close.

        The application itself renders it, so that it has a request id, a line in the access log and is counted.
        """
        from gateway.server.refusals import refusal  # noqa: PLC0415 - the master loads no code of the application

        if _APPLICATION_KEY not in _extensions(self.wsgi):
            super().handle_error(req, client, addr, exc)
            return
        remote = addr[0] if isinstance(addr, tuple) else ""
        req = req or getattr(exc, "req", None)
        method, version = getattr(req, "method", None) or "", getattr(req, "version", None) or (1, 1)
        environ = {"REMOTE_ADDR": remote, "REQUEST_METHOD": method, "PATH_INFO": getattr(req, "path", None) or "/"}
        for name, value in getattr(req, "headers", ()):
            if name in _KEPT_HEADERS:
                environ[f"HTTP_{name.replace('-', '_')}"] = value
        environ["gateway.refusal"] = refusal(exc, self.cfg, remote)
        setup_testing_defaults(environ)
        # gunicorn's response asks the request for no more than this.
        answered = SimpleNamespace(method=method, version=version, should_close=lambda: True)
        with suppress(OSError):  # the caller is gone
            response = Response(answered, client, self.cfg)
            for item in self.wsgi(environ, response.start_response):
                response.write(item)
            response.close()
        client.lingering = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGTERM: withdraw readiness and drain after GATEWAY_LEAVE_SECONDS; a second SIGTERM drains at once."""
        if not hasattr(self, "wsgi"):  # the application is still being loaded, and has no requests to finish
            super().handle_exit(sig, frame)
        elif self.deregistering or not self.deregister_seconds:
            self.start_drain()
        else:
            self.deregistering = True
            self.wsgi.view_functions["health.readyz"] = readiness_failure
            gevent.spawn_later(self.deregister_seconds, self.start_drain)

    def start_drain(self) -> None:
        """End gunicorn's main loop, which closes the listening sockets within a second.

        Until then everything is served as before: after a reload the new workers share these sockets, and a create that
        comes to this one must not fail.
        """
        self.alive = False

    def notify(self) -> None:
        """Report to gunicorn that the worker is alive (every second).

        While it ends, with its listening sockets closed, close idle connections; a second later, refuse new creates.
        """
        super().notify()
        if self.alive:
            return
        for connections in self.connections.values():
            for connection in (*connections.idle, *connections.reading):
                if not connection.serving:
                    connection.shut_down()
        if self.has_closed_idle:
            self.wsgi.extensions["provisioner"].draining = True
        self.has_closed_idle = True


def _extensions(application: Any) -> dict[str, Any]:
    """Return Flask's extensions; an application of another kind has none."""
    return getattr(application, "extensions", {})


def _restrict_to_admin_paths(request: Any) -> None:
    """Let a request pass for a path of the admin listener, with or without the mount point; raises NotFound."""
    from gateway.domain.errors import NotFound  # noqa: PLC0415 - gunicorn's master must not load the application's code

    mount_point = os.environ.get("SCRIPT_NAME", "")
    path = request.path.removeprefix(mount_point)
    if path not in _ADMIN_PATHS:
        raise NotFound
    request.path = mount_point + path


def readiness_failure() -> NoReturn:
    """Answer /readyz in a worker that deregisters; raises Draining."""
    from gateway.domain.errors import Draining  # noqa: PLC0415 - gunicorn's master must not load the application's code

    raise Draining
