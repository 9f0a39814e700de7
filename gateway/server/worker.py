"""A gunicorn worker that drains: it lets proxies see that it stops, and closes idle connections when it ends."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from types import FrameType
from typing import Any, Final, NoReturn

import gevent
from gevent import config, monkey
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker

from gateway.server.environment import read_environment

#: Python's own socket class, which gevent's patch replaces.
_original_socket: Final[type[socket.socket]] = monkey.get_original("socket", "socket")


class DrainingGeventWorker(GeventWorker):  # type: ignore[misc] # gunicorn has no type hints
    """gunicorn's gevent worker with a graceful end: readiness is withdrawn first, idle connections are closed last."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.idle_connections: set[Any] = set()  # gevent's sockets on which no request is being served
        # After SIGTERM, for `deregister_seconds`: /readyz answers 503 and everything else is served as before.
        self.deregistering = False
        self.has_closed_idle = False
        self.deregister_seconds = read_environment(os.environ).deregister_seconds

    def init_process(self) -> None:
        """Start in the forked process, and serve until the worker ends."""
        # Every create spawns a greenlet, and gevent's record of where it was spawned takes 15 µs.
        config.track_greenlet_tree = False
        super().init_process()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection until it is closed."""
        self.idle_connections.add(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self.idle_connections.discard(client)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Serve one request of a connection; while the worker deregisters, the response closes the connection."""
        self.idle_connections.discard(sock)
        if self.deregistering:
            req.force_close()  # the client sends its next request on a new connection, to another process
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            self.idle_connections.add(sock)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a malformed request, and log the error's class; its message may quote credentials from the request."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        try:
            raise _without_message(exc) from None  # because gunicorn logs the exception that is being handled
        except ParseException as error:
            super().handle_error(req, client, addr, error)

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
        for client in self.idle_connections:
            with suppress(OSError):  # the client may have closed it in the meantime
                _shut_down_input(client)
        if self.has_closed_idle:
            self.wsgi.extensions["provisioner"].draining = True
        self.has_closed_idle = True


def _shut_down_input(client: Any) -> None:
    """End the input of a connection: requests that have arrived are still served, then gunicorn closes it.

    The descriptor is duplicated for a socket of Python's own class, because gevent's `shutdown` raises in the greenlet
    that waits for a request, even if one has just arrived.
    """
    with _original_socket(fileno=os.dup(client.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RD)


def _without_message(error: Exception) -> Exception:
    """Return an error whose text is its class's name; it is of a subclass, because gunicorn answers by class."""
    error_type = type(error)
    methods = {"__init__": lambda _self: None, "__str__": lambda _self: error_type.__name__}
    subclass: type[Exception] = type(error_type.__name__, (error_type,), methods)
    return subclass().with_traceback(error.__traceback__)


def readiness_failure() -> NoReturn:
    """Answer /readyz in a worker that deregisters; raises Draining."""
    from gateway.domain.errors import Draining  # noqa: PLC0415 - gunicorn's master must not load the application's code

    raise Draining
