"""What one writes first: Flask, marshmallow and requests.post, without one of the gateway's promises."""

from __future__ import annotations

import os
from typing import Any

import requests
from flask import Flask, Response, jsonify, request
from marshmallow import Schema, fields

from tests.performance.bodies import CMDB_CREATE


class Draft(Schema):
    """What a caller sends."""

    backend = fields.String(required=True)
    scope = fields.String(required=True)
    parent = fields.String(required=True)
    name = fields.String(required=True)
    owners = fields.List(fields.String())


class Created(Schema):
    """What a caller gets."""

    id = fields.Integer(attribute="bk_module_id")
    name = fields.String(attribute="bk_module_name")
    parent = fields.String(attribute="bk_set_id")
    owner = fields.String(attribute="operator")
    created_at = fields.String(attribute="create_time")


app = Flask(__name__)


@app.get("/")
def ready() -> Response:
    """Answer."""
    return jsonify(status="ready")


@app.post("/modules")
def create() -> tuple[Response, int]:
    """Create a module in CMDB."""
    draft: dict[str, Any] = Draft().load(request.get_json())
    reply = requests.post(
        os.environ["BENCH_CMDB"] + CMDB_CREATE,
        json={
            "bk_app_code": "gateway",
            "bk_app_secret": "secret",
            "bk_username": "admin",
            "bk_biz_id": int(draft["scope"]),
            "bk_set_id": int(draft["parent"]),
            "data": {
                "bk_parent_id": int(draft["parent"]),
                "bk_module_name": draft["name"],
                "operator": ",".join(draft["owners"]),
            },
        },
        timeout=10,
    )
    envelope = reply.json()
    if not envelope["result"]:
        return jsonify(error=envelope["message"]), 502
    return jsonify(Created().dump(envelope["data"])), 201
