"""A backend that quotes each request in an error response, and a trace collector that stores what it receives."""

from __future__ import annotations

import itertools
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, request

_METHODS = ["GET", "POST", "PUT", "DELETE"]


def create_echo_backend() -> Flask:
    """Return a backend that responds with errors in the formats of CMDB, ProjectMan and IAM, which quote the request.

    A log cuts long messages, so each request is quoted in only one encoding, in turns.
    """
    app, turns = Flask("echo", static_folder=None), itertools.count()

    def echo(**_path: str) -> Response:
        body, headers = request.get_data(as_text=True), str(request.headers)
        encodings = (
            headers,
            json.dumps(dict(request.headers)),
            repr(list(request.headers.items())),
            body,
            quote(f"{headers}{body}"),
            b64encode(f"{headers}{body}".encode()).decode(),
        )
        quoted = encodings[next(turns) % len(encodings)]
        document = {
            "result": False,
            "code": 1199999,
            "message": quoted,
            "error_code": "APIGW.0999",
            "error_msg": quoted,
        }
        status = 500 if "X-Bkapi-Authorization" in request.headers else 401
        request_id = quoted.replace("\r", " ").replace("\n", " ")[:200]
        return Response(json.dumps(document), status, {"X-Request-Id": request_id}, content_type="application/json")

    app.add_url_rule("/", view_func=echo, methods=_METHODS)
    app.add_url_rule("/<path:path>", view_func=echo, methods=_METHODS)
    return app


def create_collector(bodies: list[bytes]) -> Flask:
    """Return a collector that appends the exported bodies to a list; protobuf keeps strings as plain bytes."""
    app = Flask("collector", static_folder=None)

    @app.post("/<path:path>")
    def export(**_path: Any) -> Response:
        bodies.append(request.get_data())
        return Response(content_type="application/x-protobuf")  # an empty response is a success

    return app
