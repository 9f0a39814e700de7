"""HTTP/1.1 server of the twins: keep-alive connections, replies sent slowly or in part, clean shutdown."""

import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedIOBase
from socket import SHUT_RDWR, SO_LINGER, SOL_SOCKET, close, socket
from typing import IO, TYPE_CHECKING, Any, Final, cast

from flask import Flask
from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import LimitedStream

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from werkzeug.datastructures import Headers

# The listen backlog; a burst of a few hundred clients must not be refused.
BACKLOG: Final = 1024
# How often the accept loop checks whether it must stop.
POLL_SECONDS: Final = 0.05
# How long a stopping server waits for running requests.
SHUTDOWN_TIMEOUT_SECONDS: Final = 2.0
# Bytes read at a time from a request body that the application left unread.
CHUNK_SIZE: Final = 1 << 16
# WSGI environment key: a list to which the application appends SendPlans; the first one applies.
SEND_PLANS_KEY: Final = "twin.send_plans"
# Key in `app.extensions`: a function that the server calls when it stops, to end every wait.
ON_CLOSE_KEY: Final = "twin.on_close"
BODYLESS_STATUSES: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
# struct linger: on, 0 seconds. With it close() discards unsent data and sends RST instead of FIN.
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class SendPlan:
    """How to send a response. The connection is closed after `max_bytes` (None: after the whole response)."""

    max_bytes: int | None = None
    of_body: bool = False  # whether max_bytes leaves the head out
    with_rst: bool = False  # whether the connection ends with RST instead of FIN
    chunk_size: int = 0  # bytes per write; 0: as the application produced them
    interval_seconds: float = 0.0  # between two writes
    sleep: Callable[[float], None] = lambda _: None


class FaultyStream(BufferedIOBase):
    """Output stream that sends a response by a SendPlan; the first write is the head, as `http.server` sends it."""

    def __init__(self, output: BufferedIOBase, connection: socket, plan: SendPlan) -> None:
        self._out = output
        self._connection = connection
        self._plan = plan
        self._remaining = plan.max_bytes
        self._started = False

    def write(self, data: Any) -> int:
        """Write what the plan allows; raises ConnectionAbortedError after the last byte that it allows."""
        if self._remaining is not None and self._plan.of_body and not self._started:
            self._remaining += len(data)  # `data` is the head, which does not count
        allowed_data = bytes(data[: self._remaining])
        chunk_size = self._plan.chunk_size or len(allowed_data) or 1  # 1 because range() rejects 0
        for start in range(0, len(allowed_data), chunk_size):
            if self._started and self._plan.interval_seconds:
                self._plan.sleep(self._plan.interval_seconds)
            self._out.write(allowed_data[start : start + chunk_size])
            self._out.flush()
            self._started = True
        if self._remaining is not None:
            self._remaining -= len(allowed_data)
            if not self._remaining:
                self._disconnect()
        return len(data)

    def _disconnect(self) -> None:
        """Close the connection as the plan says; raises ConnectionAbortedError."""
        if self._plan.with_rst:
            self._connection.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_ZERO)
            close(self._connection.detach())  # sends RST; the server would send FIN by calling shutdown() first
        raise ConnectionAbortedError


class KeepAliveHandler(WSGIRequestHandler):
    """Serves many requests on one connection, which Werkzeug's own handler does not do.

    A ConnectionError from the application's (streamed) body closes the connection, before the status line if it comes
    with the first chunk. Flask turns a ConnectionError that a view raises into a 500.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # TCP_NODELAY
    wbufsize = -1  # buffered: head and body leave in one segment

    def run_wsgi(self) -> None:
        """Run the application for one request and leave the connection ready for the next."""
        environ: WSGIEnvironment = self.make_environ()
        body = environ["wsgi.input"]
        if not environ.get("wsgi.input_terminated"):
            body = LimitedStream(cast("IO[bytes]", self.rfile), int(self.headers.get("Content-Length") or 0))
            environ["wsgi.input"] = body
        plans: list[SendPlan] = []
        environ[SEND_PLANS_KEY] = plans  # the application appends to this list: it runs with a copy of `environ`
        output = self.wfile
        try:
            chunks, status, headers = run_wsgi_app(self.server.app, environ)
            try:
                self.wfile = FaultyStream(output, self.connection, plans[0]) if plans else output
                self._send_response(int(status.split(maxsplit=1)[0]), headers, chunks)
            finally:  # the application's resources are released even when the client has disconnected
                self.wfile = output
                if hasattr(chunks, "close"):
                    chunks.close()
            self._discard_unread(body)
        except (ConnectionError, ClientDisconnected):
            self.close_connection = True

    def _send_response(self, status: int, headers: "Headers", chunks: Iterable[bytes]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        bodyless = self.command == "HEAD" or status in BODYLESS_STATUSES
        chunked = not bodyless and "Content-Length" not in headers
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in () if bodyless else filter(None, chunks):  # an empty chunk would end a chunked body
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            self.wfile.flush()
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _discard_unread(self, body: Any) -> None:
        """Read the rest of the request body; on a kept connection it would be parsed as the next request."""
        while body.read(CHUNK_SIZE):
            continue

    def log(self, *_args: Any, **_kwargs: Any) -> None:
        """Log nothing: the ledger and the list of attempts record what happened."""


class TwinServer(ThreadedWSGIServer):
    """Serves each connection in a thread and closes all connections when it stops."""

    request_queue_size = BACKLOG

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self._connections: set[socket] = set()
        self._connection_closed = threading.Condition()
        self._on_close: Callable[[], None] = app.extensions.get(ON_CLOSE_KEY, lambda: None)
        super().__init__(host, port, app, KeepAliveHandler)

    @property
    def url(self) -> str:
        """The base URL, with the port that was bound."""
        return f"http://{self.host}:{self.port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Register the connection, which is `request` in socketserver's words, and start its thread."""
        with self._connection_closed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection and unregister it."""
        super().shutdown_request(request)
        with self._connection_closed:
            self._connections.discard(request)
            self._connection_closed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print a traceback, except for a client that disconnected."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Close the listening socket and all connections; wait up to SHUTDOWN_TIMEOUT_SECONDS for their threads."""
        super().server_close()
        self._on_close()
        with self._connection_closed:
            for connection in self._connections:
                try:
                    connection.shutdown(SHUT_RDWR)
                except OSError:
                    continue  # the client closed it already
            self._connection_closed.wait_for(lambda: not self._connections, timeout=SHUTDOWN_TIMEOUT_SECONDS)


def serve(app: Flask, host: str, port: int) -> None:
    """Serve in the foreground until SIGTERM or SIGINT; prints one line that names the twin (`app.name`) and its URL."""
    server = TwinServer(app, host, port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.write(f"twin {app.name} listening on {server.url}\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=POLL_SECONDS)


@contextmanager
def running(app: Flask) -> Iterator[str]:
    """Serve from a background thread on a free port of 127.0.0.1; yields the base URL."""
    server = TwinServer(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name=f"twin-{app.name}", daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
