"""Serves a twin over HTTP/1.1 with connections kept alive; it knows sockets, and nothing of what a twin answers."""

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from io import BufferedIOBase
from socket import SHUT_RDWR, socket
from typing import IO, TYPE_CHECKING, Any, Final, cast

from flask import Flask
from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import LimitedStream

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.datastructures import Headers

# Connections waiting to be accepted: a burst of a few hundred clients must not meet a refusal.
BACKLOG: Final = 1024
# Seconds between two looks at whether the server was asked to stop.
POLL: Final = 0.05
# Seconds a stopping server waits for requests still at work.
GRACE: Final = 2.0
# Bytes read at a time from a request body that nobody wanted.
PIECE: Final = 1 << 16
# In a request's environment: wrappers of the file that the reply is written to; the first one counts.
WIRE: Final = "twin.wire"
# Among an application's extensions: called when the server stops, so that nobody waits on.
CLOSING: Final = "twin.closing"
BODYLESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class KeepAliveHandler(WSGIRequestHandler):
    """Answers request after request on one connection, which Werkzeug's own handler never does.

    The application finds the socket as `werkzeug.socket` in its environment, and a list to put wrappers of the
    file into that its reply is written to. When its (streamed) body
    raises a ConnectionError, the connection is closed and nothing more is sent: at the first piece not
    even a status line has left. (Flask turns what a view itself raises into a 500.)
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # TCP_NODELAY
    wbufsize = -1  # head and body leave in one segment

    def run_wsgi(self) -> None:
        """Hand one request to the application, write its answer, leave the connection ready for the next."""
        environ: WSGIEnvironment = self.make_environ()
        body = environ["wsgi.input"]
        if not environ.get("wsgi.input_terminated"):
            body = LimitedStream(cast("IO[bytes]", self.rfile), int(self.headers.get("Content-Length") or 0))
            environ["wsgi.input"] = body
        wires = environ[WIRE] = []
        out = self.wfile
        try:
            chunks, status, headers = run_wsgi_app(self.server.app, environ)
            try:
                self.wfile = next(iter(wires), _as_it_is)(out)
                self._answer(int(status.split(maxsplit=1)[0]), headers, chunks)
            finally:  # what the application holds is released even when the client is gone
                self.wfile = out
                getattr(chunks, "close", bool)()
            self._drain(body)
        except (ConnectionError, ClientDisconnected):
            self.close_connection = True

    def _answer(self, status: int, headers: "Headers", chunks: Iterable[bytes]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        bodyless = self.command == "HEAD" or status in BODYLESS
        framed = "Content-Length" in headers or bodyless
        if not framed:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in () if bodyless else filter(None, chunks):
            self.wfile.write(chunk if framed else b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        if not framed:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _drain(self, body: Any) -> None:
        """Read what the application left unread, else it would be taken for the next request line."""
        while body.read(PIECE):
            continue

    def log(self, *_args: Any, **_fields: Any) -> None:
        """Say nothing: a twin is asked for its ledger, not for its log."""


def _as_it_is(out: BufferedIOBase) -> BufferedIOBase:
    return out


class TwinServer(ThreadedWSGIServer):
    """One thread a connection, every connection known, so that stopping leaves none behind."""

    request_queue_size = BACKLOG

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self._live: set[socket] = set()
        self._changed = threading.Condition()
        self._stop_waiting: Callable[[], None] = app.extensions.get(CLOSING, bool)
        super().__init__(host, port, app, KeepAliveHandler)

    @property
    def url(self) -> str:
        """Return the base URL, with the port that was really bound."""
        return f"http://{self.host}:{self.port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, then give it a thread of its own."""
        with self._changed:
            self._live.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection, then forget it."""
        super().shutdown_request(request)
        with self._changed:
            self._live.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about a client that went away; tell of anything else."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """Close the listening socket, hang up on every client, wait for their threads a short while."""
        super().server_close()
        self._stop_waiting()
        with self._changed:
            for connection in self._live:
                try:
                    connection.shutdown(SHUT_RDWR)
                except OSError:
                    continue  # the client was faster
            self._changed.wait_for(lambda: not self._live, timeout=GRACE)


def serve(app: Flask, host: str, port: int) -> None:
    """Serve in the foreground until SIGTERM or SIGINT; `app.name` is the twin's name in the one line it prints."""
    server = TwinServer(app, host, port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.write(f"twin {app.name} listening on {server.url}\n")
    sys.stdout.flush()
    server.serve_forever(poll_interval=POLL)


@contextmanager
def running(app: Flask) -> Iterator[str]:
    """Serve from a background thread on a free port of 127.0.0.1 and yield the base URL."""
    server = TwinServer(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(POLL,), name=f"twin-{app.name}", daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
