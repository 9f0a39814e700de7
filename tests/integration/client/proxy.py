"""A proxy between client and gateway that answers some writes itself, before or after it has passed them on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

#: Whether a write is passed on, and the answer in place of the gateway's; None: the connection ends.
FAULTS: Final[dict[str, tuple[bool, bytes | None]]] = {
    f"{what}, {'passed on' if passes else 'not passed on'}": (passes, answer)
    for what, answer in {
        "503": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 19\r\n\r\nno healthy upstream",
        "502": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        "504": b"HTTP/1.1 504 Gateway Timeout\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
        "408": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
        "200": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 7\r\n\r\nSign in",
        "302": b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
        "204": b"HTTP/1.1 204 No Content\r\n\r\n",
        "reset": None,
    }.items()
    for passes in (True, False)
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        faults: list[tuple[bool, bytes | None]] = self.server.faults  # type: ignore[attr-defined]
        fault = faults.pop() if faults and self.command != "GET" else None
        self.close_connection = True
        answer = None if fault is None else fault[1]
        if fault is None or fault[0]:
            with closing(HTTPConnection(self.server.target, timeout=30)) as connection:  # type: ignore[attr-defined]
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                content = response.read()
            if fault is None:
                headers = "".join(f"{name}: {value}\r\n" for name, value in response.getheaders())
                answer = f"HTTP/1.1 {response.status} X\r\n{headers}\r\n".encode() + content
        self.wfile.write(answer or b"")

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - names of the base class

    def log_message(self, *_args: object) -> None:
        return


@contextmanager
def run_proxy(target: str, fault: tuple[bool, bytes | None]) -> Iterator[str]:
    """Yield the URL of a proxy to HOST:PORT that handles the first write as the fault says."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.target, server.faults = target, [fault]  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
