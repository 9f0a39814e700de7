"""A server that plays bytes, pauses and resets over real sockets, and records its requests."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from enum import Enum
from itertools import takewhile
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, BinaryIO, Self


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


class RawServer(ThreadingTCPServer):
    """Plays one script for each request, in order, the last one repeatedly; a context manager."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, reads: bool = True, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), BaseRequestHandler)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        self.scripts = list(scripts)
        self.requests: list[bytes] = []  # heads and bodies, as received
        self.connections = 0
        self.finished = 0  # completed scripts
        self._tls = tls
        self._reads = reads
        self._stop = threading.Event()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.shutdown()
        for connection in self._sockets:
            with suppress(OSError):  # it may be closed
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()  # waits for the connections' threads

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections += 1
        self._sockets.append(connection)
        return connection, address

    def finish_request(self, request: Any, client_address: object) -> None:
        """Serve a connection, in its own thread, until the script ends or the peer closes it."""
        with suppress(OSError):
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
                self._sockets.append(request)
            with request, request.makefile("rb") as stream:
                while (not self._reads or self._receive(stream)) and self._play(request):
                    pass

    def _receive(self, stream: BinaryIO) -> bool:
        head = b"".join(takewhile(lambda line: line != b"\r\n", stream))
        length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
        body = stream.read(int(length[1]) if length else 0)
        self.requests += [head + b"\r\n" + body] if head else []
        return bool(head)

    def _play(self, connection: socket.socket) -> bool:
        """Play a script; return whether another request may follow."""
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        for step in script() if callable(script) else script:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif step is Step.KEEP:
                self.finished += 1
                return True
            elif step is Step.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self._stop.wait(step):
                return False
        self.finished += 1
        return False
