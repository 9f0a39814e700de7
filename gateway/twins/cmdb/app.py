"""The HTTP of the CMDB twin: both ways in, the ledger, and the one place where a reply leaves."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from flask import Flask, Response, request

from gateway.twins.cmdb import apigw, esb
from gateway.twins.cmdb.apiserver import Apiserver, Reply, Request, find
from gateway.twins.cmdb.components import COMPONENTS
from gateway.twins.cmdb.seed import load_seed
from gateway.twins.cmdb.store import Caller, Store
from gateway.twins.cmdb.versions import stamp

# The API gateway's own address of CMDB, and CMDB's without it.
GATEWAY_PREFIXES: Final = ("/api/bk-cmdb/prod/api/v3", "/api/v3")
METHODS: Final = ["GET", "POST", "PUT", "DELETE", "PATCH"]
KEPT_HEADERS: Final = ("X-Request-Id", "X-Bkapi-Request-Id")
AUTHORIZATION: Final = "X-Bkapi-Authorization"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_twin(seed: Mapping[str, object] | None = None, *, clock: Callable[[], datetime] = _utc_now) -> Flask:
    """Build a twin that starts with `seed` laid over the default one (see seed.DEFAULT) and tells time by `clock`."""
    store = Store(load_seed(seed), clock)
    front = _Front(store)
    app = Flask("cmdb", static_folder=None)
    app.add_url_rule(f"{esb.PREFIX}<component>/", "esb", front.esb, methods=METHODS, strict_slashes=False)
    for number, prefix in enumerate(GATEWAY_PREFIXES):
        app.add_url_rule(f"{prefix}/<path:path>", f"apigw{number}", front.apigw, methods=METHODS)
    app.add_url_rule("/twin/ledger", "ledger", front.ledger)
    app.add_url_rule("/twin/requests", "requests", front.requests)
    app.add_url_rule("/twin/reset", "reset", front.reset, methods=["POST"])
    app.add_url_rule("/twin/hosts/<int:module>/<int:number>", "hosts", front.hosts, methods=["PUT"])
    return app


class _Front:
    """The views."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cmdb = Apiserver(store)

    def esb(self, component: str) -> Response:
        if component in COMPONENTS:
            self._store.count_request(component)
        arrival = esb.Arrival(
            component=component,
            query=request.args.to_dict(),
            body=request.get_data(),
            authorization=request.headers.get(AUTHORIZATION),
            has_body=request.method != "GET",
        )
        english = request.headers.get("Blueking-Language", "en") == "en"
        caller = _caller(uuid4().hex, english=english)
        return self._leave(esb.answer(self._store.seed, self._cmdb, arrival, caller))

    def apigw(self, path: str) -> Response:
        asked = Request(request.method, f"/{path}".rstrip("/"), request.get_data(), request.args.to_dict())
        if found := find(asked.method, asked.path):
            self._store.count_request(found[0].name)
        own_id = str(uuid4())
        # Only X-Bkcmdb-Language reaches CMDB on this way; without it CMDB speaks Chinese.
        caller = _caller(own_id, english=request.headers.get("X-Bkcmdb-Language") == "en")
        authorization = request.headers.get(AUTHORIZATION, "{}")
        reply = apigw.answer(self._store.seed, self._cmdb, asked, caller, authorization)
        passed_on = request.headers.get("X-Request-Id", own_id)
        headers = {"X-Bkapi-Request-ID": own_id, "X-Request-Id": passed_on}
        if isinstance(reply, Reply):
            headers[self._store.seed.version.request_id_header] = passed_on
        else:
            headers |= reply.headers
        return self._leave(reply.body, reply.status, headers)

    def ledger(self) -> Response:
        with self._store.reading():
            return self._leave({"writes": list(self._store.ledger)})

    def requests(self) -> Response:
        with self._store.reading():
            return self._leave(dict(self._store.requests))

    def reset(self) -> Response:
        self._store.reset()
        return self._leave("", HTTPStatus.NO_CONTENT)

    def hosts(self, module: int, number: int) -> Response:
        with self._store.reading():
            if module not in self._store.modules:
                return self._leave("", HTTPStatus.NOT_FOUND)
            self._store.hosts[module] = number
        return self._leave("", HTTPStatus.NO_CONTENT)

    def _leave(
        self,
        body: Mapping[str, Any] | str,
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Turn an answer into bytes: the only place where a reply leaves."""
        if isinstance(body, str):
            return Response(body, status, headers, mimetype="text/plain")
        zone = self._store.seed.version.zone
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=lambda moment: stamp(moment, zone))
        return Response(text.encode("utf-8", "replace"), status, headers, mimetype="application/json")


def _caller(request_id: str, *, english: bool) -> Caller:
    """Note what identifies the request along its way, the id of this hop first."""
    kept = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
    return Caller(english=english, request_id=request_id, headers=kept)
