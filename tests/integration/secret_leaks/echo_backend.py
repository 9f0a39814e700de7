"""A backend that quotes each request in an error response: headers and body, in several encodings."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote


class EchoHandler(BaseHTTPRequestHandler):
    """Responds with errors in the formats of CMDB, ProjectMan and IAM."""

    protocol_version = "HTTP/1.1"

    def respond(self) -> None:
        """Send an error that quotes the request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        headers = str(self.headers)
        encodings = (
            headers,
            json.dumps(dict(self.headers)),
            repr(list(self.headers.items())),
            body,
            quote(f"{headers}{body}"),
            b64encode(f"{headers}{body}".encode()).decode(),
        )
        # A log cuts long messages, so each request is quoted in only one encoding, in turns.
        quoted = encodings[next(self.server.turns) % len(encodings)]  # type: ignore[attr-defined]
        content = json.dumps(
            {"result": False, "code": 1199999, "message": quoted, "error_code": "APIGW.0999", "error_msg": quoted}
        ).encode()
        self.send_response(500 if self.headers.get("X-Bkapi-Authorization") else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Request-Id", quoted.replace("\r", " ").replace("\n", " ")[:200])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = respond  # noqa: N815 - http.server's names

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


@contextmanager
def run_echo_backend() -> Iterator[str]:
    """Run the backend during a with block and yield its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), EchoHandler)
    server.daemon_threads = True
    server.turns = iter(range(1_000_000))  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
