"""A simple service on Flask, marshmallow and requests.post, with none of the gateway's features."""

from __future__ import annotations

import os
from typing import Any

import requests
from flask import Flask, Response, abort, jsonify, request
from marshmallow import Schema, fields

from tests.performance.messages import CMDB_CREATE, CMDB_CREDENTIALS, CMDB_SEARCH


class Draft(Schema):
    backend = fields.String(required=True)
    scope = fields.String(required=True)
    parent = fields.String(required=True)
    name = fields.String(required=True)
    owners = fields.List(fields.String())


class Module(Schema):
    id = fields.Integer(attribute="bk_module_id")
    name = fields.String(attribute="bk_module_name")
    parent = fields.String(attribute="bk_set_id")
    owner = fields.String(attribute="operator")
    created_at = fields.String(attribute="create_time")


app = Flask(__name__)


@app.post("/modules")
def create() -> tuple[Response, int]:
    """Create a module in CMDB."""
    draft: dict[str, Any] = Draft().load(request.get_json())
    owner = ",".join(draft["owners"])
    data = {"bk_parent_id": int(draft["parent"]), "bk_module_name": draft["name"], "operator": owner}
    scope = {"bk_biz_id": int(draft["scope"]), "bk_set_id": int(draft["parent"])}
    return jsonify(Module().dump(_call(CMDB_CREATE, {**scope, "data": data}))), 201


@app.get("/modules/<module_id>")
def read(module_id: str) -> Response:
    """Return a module of CMDB by the gateway's id, `cmdb.SCOPE.PARENT.MODULE`."""
    _, scope, parent, number = module_id.split(".")
    condition = {"bk_set_id": int(parent), "bk_module_id": int(number)}
    page = {"start": 0, "limit": 1}
    data = _call(CMDB_SEARCH, {"bk_biz_id": int(scope), "condition": condition, "page": page})
    if not data["info"]:
        abort(404)
    return jsonify(Module().dump(data["info"][0]))


def _call(path: str, arguments: dict[str, Any]) -> Any:
    response = requests.post(os.environ["BENCH_CMDB"] + path, json={**CMDB_CREDENTIALS, **arguments}, timeout=10)
    envelope = response.json()
    if not envelope["result"]:
        abort(502, envelope["message"])
    return envelope["data"]
