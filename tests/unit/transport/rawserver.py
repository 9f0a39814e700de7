"""A server that plays bytes, pauses and resets over real sockets, and records its requests."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from types import TracebackType
from typing import Self


class Step(Enum):
    """A step of a script other than bytes or a pause."""

    RESET = "close the connection with a reset"
    KEEP = "wait for the next request on this connection"


#: Bytes are sent, a number is a pause in seconds; at the end the connection is closed in the regular way.
Script = Sequence[bytes | float | Step] | Callable[[], Iterable[bytes | float | Step]]


def reply(body: bytes, *head: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Return a complete response; `length` replaces the true Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *head, "", ""]
    return "\r\n".join(lines).encode() + body


class RawServer:
    """Plays one script for each request, in order, the last one repeatedly; a context manager."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, reads: bool = True, port: int = 0) -> None:
        self.scripts = list(scripts)
        self.requests: list[bytes] = []  # heads and bodies, as received
        self.connections = 0
        self.finished = 0  # completed scripts
        self._tls = tls
        self._reads = reads
        self._stop = threading.Event()
        self._live: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in list(self._live):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the peer has closed it
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._live.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                self._live.discard(connection)
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._live.add(connection)
            while (not self._reads or self._receive(connection)) and self._play(connection):
                pass
        except OSError:
            return  # the peer has closed it, or the test is over
        finally:
            self._live.discard(connection)
            connection.close()

    def _receive(self, connection: socket.socket) -> bool:
        received = b""
        while b"\r\n\r\n" not in received:
            if not (piece := connection.recv(65536)):
                return False
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        lengths = [line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < int(lengths[0] if lengths else 0):
            if not (piece := connection.recv(65536)):
                return False
            body += piece
        self.requests.append(head + b"\r\n\r\n" + body)
        return True

    def _play(self, connection: socket.socket) -> bool:
        """Play a script; return whether another request may follow."""
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        for step in script() if callable(script) else script:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif step is Step.KEEP:
                self.finished += 1
                return True
            elif isinstance(step, Step):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self._stop.wait(step):
                return False
        self.finished += 1
        return False
