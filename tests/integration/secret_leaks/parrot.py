"""A backend that quotes every request in its refusal: headers, body, all of it, in several notations."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote


class Parrot(BaseHTTPRequestHandler):
    """Knows no good answer; speaks as CMDB does, and as ProjectMan and IAM do."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Quote the request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        heads = str(self.headers)
        notations = (
            heads,
            json.dumps(dict(self.headers)),
            repr(list(self.headers.items())),
            body,
            quote(f"{heads}{body}"),
            b64encode(f"{heads}{body}".encode()).decode(),
        )
        # A log keeps the beginning of a message: each request is quoted in another notation.
        notation = notations[next(self.server.turn) % len(notations)]  # type: ignore[attr-defined]
        told = json.dumps(
            {"result": False, "code": 1199999, "message": notation, "error_code": "APIGW.0999", "error_msg": notation}
        ).encode()
        self.send_response(500 if self.headers.get("X-Bkapi-Authorization") else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Request-Id", notation.replace("\r", " ").replace("\n", " ")[:200])
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def parroting() -> Iterator[str]:
    """Serve on a free port of the loopback and yield the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    server.daemon_threads = True
    server.turn = iter(range(1_000_000))  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
