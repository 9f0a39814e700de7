"""A gunicorn worker with deadlines for requests, problem documents for malformed ones, and a graceful end."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from types import FrameType, SimpleNamespace
from typing import Any, Final, NoReturn
from wsgiref.util import setup_testing_defaults

import gevent
from gevent import config
from gunicorn.http import errors as http_errors
from gunicorn.http.wsgi import Response
from gunicorn.workers.ggevent import GeventWorker

from gateway.server.connection import Connections, RequestBody
from gateway.server.environment import read_environment

_log: Final = logging.getLogger("gateway.server")
#: What the listening socket of GATEWAY_ADMIN_BIND serves.
_ADMIN_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
_DEFAULT_REQUEST_SECONDS: Final = 10.0
#: The texts of what gunicorn's parser refuses, by its error; any other one is about the request line.
_REFUSALS: Final = {
    http_errors.ExpectationFailed: "expectation_unsupported",
    http_errors.InvalidHeader: "header_malformed",
    http_errors.InvalidHeaderName: "header_malformed",
    http_errors.LimitRequestHeaders: "headers_too_large",
    http_errors.LimitRequestLine: "request_line_too_long",
    http_errors.ObsoleteFolding: "header_malformed",
    http_errors.UnsupportedTransferCoding: "transfer_coding_unsupported",
}

#: A header of the response is invalid: a bug of the application.
_APPLICATION_ERRORS: Final = (http_errors.InvalidResponseHeader, http_errors.InvalidResponseHeaderName)
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

        Neither the answer nor the log contains the error's message, which may quote credentials from the request.
        """
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
        environ["gateway.refusal"] = self.refusal(exc, remote)
        setup_testing_defaults(environ)
        # gunicorn's response asks the request for no more than this.
        answered = SimpleNamespace(method=method, version=version, should_close=lambda: True)
        with suppress(OSError):  # the caller is gone
            response = Response(answered, client, self.cfg)
            for item in self.wsgi(environ, response.start_response):
                response.write(item)
            response.close()
        client.lingering = True

    def refusal(self, exc: BaseException, remote: str) -> Exception:
        """Return the error of the response for an error of gunicorn's, or of the application."""
        from gateway.domain.errors import GatewayError, Internal, MalformedRequest, NotFound  # noqa: PLC0415
        from gateway.domain.messages import message  # noqa: PLC0415

        if isinstance(exc, GatewayError):
            return exc
        if isinstance(exc, http_errors.ConfigurationProblem):  # the path is outside SCRIPT_NAME
            return NotFound()
        if isinstance(exc, _APPLICATION_ERRORS) or not isinstance(exc, http_errors.ParseException):
            _log.error("request failed", exc_info=exc)
            return Internal()
        _log.warning("malformed request", extra={"fields": {"error": type(exc).__name__, "remote": remote}})
        key = next((key for error, key in _REFUSALS.items() if isinstance(exc, error)), "request_line_malformed")
        return MalformedRequest(
            message(
                key,
                line_bytes=self.cfg.limit_request_line,
                fields=self.cfg.limit_request_fields,
                field_bytes=self.cfg.limit_request_field_size,
            )
        )

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
        """Refuse new creates and end gunicorn's main loop, which closes the listening sockets."""
        self.wsgi.extensions["provisioner"].draining = True
        self.alive = False

    def notify(self) -> None:
        """Report to gunicorn that the worker is alive (every second); while it ends, close idle connections."""
        super().notify()
        if not self.alive:
            for connections in self.connections.values():
                for connection in (*connections.idle, *connections.reading):
                    if not connection.serving:
                        connection.shut_down()


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
