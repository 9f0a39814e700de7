"""The "floor" row: a static Flask view under the gateway's gunicorn configuration."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Final

from flask import Flask, Response

from tests.performance.messages import READ_ID, cmdb_row

_BODY: Final = json.dumps(cmdb_row(READ_ID, "test")).encode()


app = Flask(__name__, static_folder=None)
#: gateway.server asks the provisioner at shutdown.
app.extensions["provisioner"] = SimpleNamespace(draining=False, in_flight=lambda: 0)


@app.get("/")
def static() -> Response:
    """Return a module as static JSON."""
    return Response(_BODY, content_type="application/json")
