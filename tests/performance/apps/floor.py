"""The floor: Flask answering the same bytes to everybody, on what the gateway runs on."""

from __future__ import annotations

import json
from typing import Final

from flask import Flask, Response

from tests.performance.bodies import READ, cmdb_row

_BODY: Final = json.dumps(cmdb_row(READ, "test")).encode()


class _Nothing:
    """What config/gunicorn.conf.py asks a service about when it ends: there is nothing on the way."""

    draining = False

    def in_flight(self) -> int:
        return 0


app = Flask(__name__, static_folder=None)
app.extensions["provisioner"] = _Nothing()


@app.get("/")
def static() -> Response:
    """Answer."""
    return Response(_BODY, content_type="application/json")
