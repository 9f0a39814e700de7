"""The "floor" row: a static Flask view under the gateway's gunicorn configuration."""

from __future__ import annotations

import json
from typing import Final

from flask import Flask, Response

from tests.performance.bodies import READ_ID, cmdb_row

_BODY: Final = json.dumps(cmdb_row(READ_ID, "test")).encode()


class _NoRequests:
    """Stands in for the provisioner, which config/gunicorn.conf.py queries at shutdown."""

    draining = False

    def in_flight(self) -> int:
        return 0


app = Flask(__name__, static_folder=None)
app.extensions["provisioner"] = _NoRequests()


@app.get("/")
def static() -> Response:
    """Return a module as static JSON."""
    return Response(_BODY, content_type="application/json")
