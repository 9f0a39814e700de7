"""The twin's Flask application: the ESB, the API gateway, the control endpoints, and the faults of CMDB.

Source of the faults: facts, sections 0, 4, 5 and 9.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from flask import Flask, Response, g, request

from gateway.twins.cmdb import apigw, esb
from gateway.twins.cmdb.apigw import ApigwError
from gateway.twins.cmdb.apiserver import RESOURCES, Apiserver, CmdbRequest, CmdbResponse, envelope, find_resource
from gateway.twins.cmdb.errors import CmdbError
from gateway.twins.cmdb.seed import load_seed
from gateway.twins.cmdb.store import RequestInfo, Store
from gateway.twins.faults.fault_types import RESPONSE, FaultType, NumberParam, effect_params
from gateway.twins.faults.injector import FaultInjector, FaultProfile, ResponseFactory, skewed_clock

# CMDB behind the API gateway, and without its prefix.
APIGW_PREFIXES: Final = ("/api/bk-cmdb/prod/api/v3", "/api/v3")
METHODS: Final = ["GET", "POST", "PUT", "DELETE", "PATCH"]
TRACED_HEADERS: Final = ("X-Request-Id", "X-Bkapi-Request-Id")
AUTHORIZATION: Final = "X-Bkapi-Authorization"

OPERATION_KIND: Final = {
    "create_module": "create",
    "update_module": "update",
    "delete_module": "delete",
    "search_module": "list",
    "find_module_batch": "list",
    "search_biz_inst_topo": "list",
    "get_biz_internal_module": "list",
}

FAULT_TYPES: Final = (
    FaultType(
        "proxy-timeout",
        RESPONSE,
        "1199998 with HTTP 500 (200 on the ESB): a timeout of CMDB's proxy",
        effect_params("never"),
    ),
    FaultType("commit-failed", RESPONSE, "1199066: the transaction failed to commit", effect_params("never")),
    FaultType("write-conflict", RESPONSE, "1199020: the transaction met another one", effect_params("never")),
    FaultType("rate-limited", RESPONSE, "1199997 with HTTP 200: the rate limit of CMDB"),
    FaultType(
        "gateway-rate-limited",
        RESPONSE,
        "1642902 with HTTP 429 (200 on the ESB): the rate limit of the API gateway, which ends after `reset` seconds",
        {"reset": NumberParam(1, integer=True)},
    ),
)
FAULT_RESPONSES: Final[Mapping[str, CmdbResponse]] = {
    "proxy-timeout": CmdbResponse(
        envelope(
            1199998,
            'proxy request failed, Post "http://topo_server/": net/http: timeout awaiting response headers',
        ),
        from_apiserver=True,
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
    ),
    "commit-failed": CmdbResponse(
        envelope(1199066, "commit transaction failed, error: retry transaction exceeds maximum count")
    ),
    "write-conflict": CmdbResponse(envelope(1199020, "Failed to update data")),  # facts, section 9
    "rate-limited": CmdbResponse(
        {"result": False, "bk_error_code": 1199997, "bk_error_msg": "too many requests"}, from_apiserver=True
    ),
}
APIGW_RATE_LIMITED: Final = ApigwError(
    HTTPStatus.TOO_MANY_REQUESTS,
    1642902,
    "RATE_LIMIT_RESTRICTION",
    'API rate limit exceeded by stage strategy [reason="too many requests"]',
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_twin(seed: Mapping[str, object] | None = None, *, clock: Callable[[], datetime] = _utc_now) -> Flask:
    """Create a twin from a seed (see `seed.py`), whose key `faults` may hold fault rules.

    `clock` returns an aware datetime. Raises ValueError or KeyError for an invalid seed.
    """
    parts = dict(seed or {})
    rules = parts.pop("faults", ())
    app = Flask("cmdb", static_folder=None)
    views = _Views(Store(load_seed(parts), skewed_clock(clock)), app, rules)
    app.add_url_rule(f"{esb.PREFIX}<component>/", "esb", views.esb, methods=METHODS, strict_slashes=False)
    for number, prefix in enumerate(APIGW_PREFIXES):
        app.add_url_rule(f"{prefix}/<path:path>", f"apigw{number}", views.apigw, methods=METHODS)
    app.add_url_rule("/twin/ledger", "ledger", views.ledger)
    app.add_url_rule("/twin/requests", "requests", views.requests)
    app.add_url_rule("/twin/reset", "reset", views.reset, methods=["POST"])
    app.add_url_rule("/twin/apps", "apps", views.set_apps, methods=["PUT"])
    app.add_url_rule("/twin/hosts/<int:module_id>/<int:count>", "hosts", views.set_host_count, methods=["PUT"])
    return app


class _Views:
    """The views of the twin."""

    def __init__(self, store: Store, app: Flask, fault_rules: object) -> None:
        self._store = store
        self._cmdb = Apiserver(store)
        profile = FaultProfile(
            operations={resource.name: OPERATION_KIND.get(resource.name, "other") for resource in RESOURCES},
            name_field="bk_module_name",
            rule_error=CmdbError,
            fault_types=FAULT_TYPES,
            responses={
                **{name: self._fault_response(response) for name, response in FAULT_RESPONSES.items()},
                "gateway-rate-limited": self._apigw_rate_limited,
            },
        )
        self._injector = FaultInjector(app, profile, fault_rules)

    def esb(self, component: str) -> Response:
        """Serve a component of the ESB."""
        g.info = info = _request_info(uuid4().hex, english=request.headers.get("Blueking-Language", "en") == "en")
        if component in esb.COMPONENTS:
            self._before_operation(component)
        esb_request = esb.EsbRequest(
            component=component,
            query=request.args.to_dict(),
            body=request.get_data(),
            authorization=request.headers.get(AUTHORIZATION),
            has_body=request.method != "GET",
        )
        return self._respond(esb.handle(self._store.seed, self._cmdb, esb_request, info))

    def apigw(self, path: str) -> Response:
        """Serve a resource of the API gateway."""
        cmdb_request = CmdbRequest(request.method, f"/{path}".rstrip("/"), request.get_data(), request.args.to_dict())
        # The gateway relays X-Bkcmdb-Language only; without it CMDB responds in Chinese.
        g.info = info = _request_info(str(uuid4()), english=request.headers.get("X-Bkcmdb-Language") == "en")
        if match := find_resource(cmdb_request.method, cmdb_request.path):
            self._before_operation(match[0].name)
        authorization = request.headers.get(AUTHORIZATION, "{}")
        return self._respond_via_apigw(apigw.handle(self._store.seed, self._cmdb, cmdb_request, info, authorization))

    def ledger(self) -> Response:
        """Return the writes that were applied."""
        with self._store.read_lock():
            return self._respond({"writes": list(self._store.ledger)})

    def requests(self) -> Response:
        """Return the number of requests by operation."""
        with self._store.read_lock():
            return self._respond(dict(self._store.requests))

    def reset(self) -> Response:
        """Return to the state of the seed."""
        self._store.reset()
        return self._respond("", HTTPStatus.NO_CONTENT)

    def set_apps(self) -> Response:
        """Replace the applications and their secrets, as in the seed; they stay after a reset."""
        self._store.seed = replace(self._store.seed, apps=request.get_json(force=True))
        return self._respond("", HTTPStatus.NO_CONTENT)

    def set_host_count(self, module_id: int, count: int) -> Response:
        """Set the number of hosts in a module; while it has hosts, it cannot be deleted."""
        with self._store.read_lock():
            if module_id not in self._store.modules:
                return self._respond("", HTTPStatus.NOT_FOUND)
            self._store.hosts[module_id] = count
        return self._respond("", HTTPStatus.NO_CONTENT)

    def _before_operation(self, operation: str) -> None:
        self._store.count_request(operation)
        self._injector.before_operation(operation)

    def _fault_response(self, response: CmdbResponse) -> ResponseFactory:
        """Return a factory of `response`, as the ESB or the API gateway relays it: the one that the request used."""

        def respond(_parameters: Mapping[str, Any]) -> Response:
            if request.path.startswith(esb.PREFIX):
                return self._respond(esb.envelope(g.info, esb.require_json(response.body)))
            return self._respond_via_apigw(apigw.relay(self._store.seed, response))

        return respond

    def _apigw_rate_limited(self, parameters: Mapping[str, Any]) -> Response:
        """Return the gateway's error, without Retry-After; the ESB's gateway sends it with HTTP 200."""
        error = APIGW_RATE_LIMITED
        headers = {"X-Bkapi-RateLimit-Remaining": "0", "X-Bkapi-RateLimit-Reset": str(parameters["reset"])}
        if request.path.startswith(esb.PREFIX):
            return self._respond(error.body, headers={**error.headers, **headers})
        return self._respond_via_apigw(error, headers)

    def _respond_via_apigw(
        self, result: CmdbResponse | ApigwError, extra_headers: Mapping[str, str] | None = None
    ) -> Response:
        """Return a response of the API gateway; CMDB's own responses carry CMDB's request id header."""
        own_id = g.info.request_id
        request_id = request.headers.get("X-Request-Id", own_id)
        headers = {"X-Bkapi-Request-ID": own_id, "X-Request-Id": request_id}
        if isinstance(result, CmdbResponse):
            headers[self._store.seed.version.request_id_header] = request_id
        else:
            headers |= result.headers
        return self._respond(result.body, result.status, {**headers, **(extra_headers or {})})

    def _respond(
        self,
        body: Mapping[str, Any] | str,
        status: int = HTTPStatus.OK,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return a response with a body in JSON, or in plain text for a `str`."""
        if isinstance(body, str):
            return Response(body, status, headers, mimetype="text/plain")
        zone = self._store.seed.version.zone
        text = json.dumps(
            body, ensure_ascii=False, separators=(",", ":"), default=lambda moment: format_time(moment, zone)
        )
        return Response(text.encode("utf-8", "replace"), status, headers, mimetype="application/json")


def _request_info(request_id: str, *, english: bool) -> RequestInfo:
    headers = {name: request.headers[name] for name in TRACED_HEADERS if name in request.headers}
    return RequestInfo(english=english, request_id=request_id, headers=headers)


def format_time(moment: datetime, zone: tzinfo) -> str:
    """Format a time as Go does: milliseconds without trailing zeros, `Z` for UTC (facts, section 8)."""
    local = moment.astimezone(zone)
    fraction = f".{local.microsecond // 1000:03}".rstrip("0").rstrip(".")
    offset = "Z" if zone is UTC else local.isoformat()[-6:]
    return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{offset}"
