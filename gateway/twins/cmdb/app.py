"""The HTTP of the CMDB twin: both ways in, the ledger, and the one place where a reply leaves."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from flask import Flask, Response, g, request

from gateway.twins.cmdb import apigw, esb
from gateway.twins.cmdb.apigw import GatewayError
from gateway.twins.cmdb.apiserver import Apiserver, Reply, Request, find
from gateway.twins.cmdb.components import COMPONENTS
from gateway.twins.cmdb.faults import backend
from gateway.twins.cmdb.seed import load_seed
from gateway.twins.cmdb.store import Caller, Store
from gateway.twins.cmdb.versions import stamp
from gateway.twins.faults import Faults, skewed

# The API gateway's own address of CMDB, and CMDB's without it.
GATEWAY_PREFIXES: Final = ("/api/bk-cmdb/prod/api/v3", "/api/v3")
METHODS: Final = ["GET", "POST", "PUT", "DELETE", "PATCH"]
KEPT_HEADERS: Final = ("X-Request-Id", "X-Bkapi-Request-Id")
AUTHORIZATION: Final = "X-Bkapi-Authorization"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_twin(seed: Mapping[str, object] | None = None, *, clock: Callable[[], datetime] = _utc_now) -> Flask:
    """Build a twin that starts with `seed` laid over the default one (see seed.DEFAULT) and tells time by `clock`.

    The seed may order faults as well (see gateway.twins.faults).
    """
    planted = dict(seed or {})
    orders = planted.pop("faults", ())
    app = Flask("cmdb", static_folder=None)
    front = _Front(Store(load_seed(planted), skewed(clock)), app, orders)
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

    def __init__(self, store: Store, app: Flask, orders: object) -> None:
        self._store = store
        self.faults = Faults(app, backend(self.write), orders)
        self._cmdb = Apiserver(store)

    def esb(self, component: str) -> Response:
        g.caller = caller = _caller(uuid4().hex, english=request.headers.get("Blueking-Language", "en") == "en")
        if component in COMPONENTS:
            self._arrive(component)
        arrival = esb.Arrival(
            component=component,
            query=request.args.to_dict(),
            body=request.get_data(),
            authorization=request.headers.get(AUTHORIZATION),
            has_body=request.method != "GET",
        )
        return self._leave(esb.answer(self._store.seed, self._cmdb, arrival, caller))

    def apigw(self, path: str) -> Response:
        asked = Request(request.method, f"/{path}".rstrip("/"), request.get_data(), request.args.to_dict())
        # Only X-Bkcmdb-Language reaches CMDB on this way; without it CMDB speaks Chinese.
        g.caller = caller = _caller(str(uuid4()), english=request.headers.get("X-Bkcmdb-Language") == "en")
        if found := find(asked.method, asked.path):
            self._arrive(found[0].name)
        authorization = request.headers.get(AUTHORIZATION, "{}")
        return self._through_gateway(apigw.answer(self._store.seed, self._cmdb, asked, caller, authorization))

    def write(self, reply: Reply | GatewayError, headers: Mapping[str, str]) -> Response:
        """Answer in place of CMDB, or of the gateway before it, as the way in of this request does."""
        if not request.path.startswith(esb.PREFIX):
            reply = apigw.pass_back(self._store.seed, reply) if isinstance(reply, Reply) else reply
            return self._through_gateway(reply, headers)
        if isinstance(reply, Reply):
            return self._leave(esb.envelope(g.caller, esb.read(reply.body)), headers=headers)
        return self._leave(reply.body, headers={**reply.headers, **headers})  # its errors are 200 on the ESB's gateway

    def _arrive(self, operation: str) -> None:
        self._store.count_request(operation)
        self.faults.arrive(operation)

    def _through_gateway(self, reply: Reply | GatewayError, extra: Mapping[str, str] | None = None) -> Response:
        own_id = g.caller.request_id
        passed_on = request.headers.get("X-Request-Id", own_id)
        headers = {"X-Bkapi-Request-ID": own_id, "X-Request-Id": passed_on}
        if isinstance(reply, Reply):
            headers[self._store.seed.version.request_id_header] = passed_on
        else:
            headers |= reply.headers
        return self._leave(reply.body, reply.status, {**headers, **(extra or {})})

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
