"""Envoy's listeners, routes and clusters for the two sidecars of a call: the caller's and the gateway's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final

Json = Mapping[str, Any]

#: Maximum size of all headers of a request, in KiB: room for a token of 32 KiB.
HEADERS_KIB: Final = 96
TRY_TIMEOUT: Final = 0.5
TRIES: Final = 4
#: Failures are enabled while this runtime value is 100.
RUNTIME_KEY: Final = "mesh.failures"
_FAULT: Final = "envoy.filters.http.fault"
_ALWAYS: Final = {"numerator": 100}


def _typed(name: str, **config: Any) -> Json:
    return {"@type": f"type.googleapis.com/envoy.extensions.{name}", **config}


#: The retry conditions of a mesh by default, and all others.
RETRY: Final[Json] = {
    "retry_on": "connect-failure,refused-stream,reset,gateway-error,5xx,retriable-status-codes",
    "retriable_status_codes": [429, 503],
    "num_retries": TRIES - 1,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": _typed("retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ],
    "host_selection_retry_max_attempts": 3,
}
#: The routes of a caller's sidecar.
CLIENT_ROUTES: Final[Mapping[str, Json]] = {
    "plain": {},
    "retried": {"retry_policy": RETRY},
    "retried-with-timeout": {"retry_policy": {**RETRY, "per_try_timeout": f"{TRY_TIMEOUT}s"}},
    "short": {"timeout": "1s"},
    "short-own-header": {"timeout": "1s"},
    "short-unknown-header": {"timeout": "1s"},
}
#: Headers with the timeout in milliseconds instead of Envoy's own, x-envoy-expected-rq-timeout-ms.
_TIMEOUT_HEADERS: Final[Mapping[str, Json]] = {
    "short-own-header": {"x-request-timeout-ms": "1000"},
    "short-unknown-header": {"x-unknown-header": "1000"},
}


@dataclass(frozen=True)
class Failure:
    """A failure of creates whose request id begins with `name` and a dot, by the sidecar, the twin or both."""

    name: str
    applied: bool = True  # the write takes effect, now or later
    timeout: float = 0.0  # of the sidecar, in seconds
    twin: str = ""  # fault of the twin
    faults: Json = field(default_factory=dict)  # of the sidecar

    def route(self, cluster: str) -> Json:
        """Return the route of the failing requests: creates in both backends while failures are enabled."""
        match = {
            "headers": [
                {"name": ":method", "string_match": {"exact": "POST"}},
                {"name": ":path", "string_match": {"safe_regex": {"regex": ".*/(create_module/?|module)"}}},
                {"name": "x-request-id", "string_match": {"prefix": f"{self.name}."}},
            ],
            "runtime_fraction": {"default_value": _ALWAYS, "runtime_key": RUNTIME_KEY},
        }
        faults = {name: {**fault, "percentage": _ALWAYS} for name, fault in self.faults.items()}
        headers = {"X-Twin-Fault": self.twin} if self.twin else {}
        return {
            **_route(cluster, {"timeout": f"{self.timeout}s"}, match, headers),
            "typed_per_filter_config": {_FAULT: _typed("filters.http.fault.v3.HTTPFault", **faults)},
        }


_STATUS_503: Final = {"abort": {"http_status": 503}}
_ONE_SECOND: Final = {"delay": {"fixed_delay": "1s"}}
FAILURES: Final = (
    Failure("none"),
    Failure("abort-503", applied=False, faults=_STATUS_503),
    Failure("abort-500", applied=False, faults={"abort": {"http_status": 500}}),
    Failure("abort-429", applied=False, faults={"abort": {"http_status": 429}}),
    Failure("late", faults=_ONE_SECOND),
    # This exceeds the hard timeout: the request is never forwarded.
    Failure("too-late", applied=False, faults={"delay": {"fixed_delay": "60s"}}),
    Failure("late-503", applied=False, faults={**_ONE_SECOND, **_STATUS_503}),
    Failure("slow-reply", faults={"response_rate_limit": {"fixed_limit": {"limit_kbps": 1}}}),
    Failure("gives-up-early", timeout=0.5, twin="delay;seconds=1.5"),  # applied after the sidecar's 504
    Failure("gives-up-late", timeout=0.5, twin="delay;seconds=1.5;when=after"),  # applied before the 504
    Failure("lost", applied=False, twin="drop;effect=never"),
    Failure("lost-reply", twin="drop;effect=now"),  # the sidecar answers 503 to a write that was applied
    Failure("reset-reply", twin="reset;effect=now"),
    Failure("lost-late", twin="drop;effect=late;seconds=1"),
    Failure("cut-reply", twin="truncate"),
)


def gateway_resources(
    twins: Mapping[str, str], replicas: Sequence[str], tls: Json, *, retry: Json | None, health: str | None, idle: str
) -> Json:
    """Return the gateway's sidecar: mTLS inbound, plain HTTP to the replicas, outbound to the twins."""
    manager = {
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"uri": True, "subject": True},
        # Envoy removes x-envoy-expected-rq-timeout-ms from requests of addresses that are not internal.
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.1", "prefix_len": 32}]},
    }
    gateway = _cluster("gateway", replicas, idle=idle)
    if health:
        # A 503 counts at once; the timeout is long, since a busy machine slows a replica down.
        check = {
            "timeout": "5s",
            **dict.fromkeys(("interval", "no_traffic_interval", "unhealthy_interval"), health),
            "unhealthy_threshold": 2,
            "healthy_threshold": 1,
            "http_health_check": {"path": "/readyz"},
        }
        # By default Envoy delays updates to its workers by up to a second.
        balancing = {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}
        gateway = {**gateway, "health_checks": [check], "common_lb_config": balancing}
    inbound = _listener("inbound", [_route("gateway", {"retry_policy": retry} if retry else {})], manager, tls=tls)
    outbound = [_listener(name, [*(failure.route(name) for failure in FAILURES), _route(name)]) for name in twins]
    clusters = [gateway, *(_cluster(name, [url.removeprefix("http://")]) for name, url in twins.items())]
    return {"listeners": [inbound, *outbound], "clusters": clusters}


def caller_resources(inbound: str, callers: Mapping[str, Json]) -> Json:
    """Return the callers' sidecar: a listener for each caller and client route, and its TLS context to `inbound`."""
    # A caller controls its own sidecar: this one forwards any certificate header of the caller.
    forward_all = {"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"}
    listeners = []
    for caller, (name, action) in product(callers, CLIENT_ROUTES.items()):
        headers = _TIMEOUT_HEADERS.get(name, {})
        route = _route(caller, action, headers=headers)
        listeners.append(_listener(f"{caller}-{name}", [route], forward_all, suppress_envoy_headers=bool(headers)))
    clusters = [
        {**_cluster(caller, [inbound]), "transport_socket": _tls("Upstream", context)}
        for caller, context in callers.items()
    ]
    return {"listeners": listeners, "clusters": clusters}


def _listener(
    name: str, routes: Sequence[Json], manager: Json | None = None, *, tls: Json | None = None, **router: bool
) -> Json:
    """Build a listener on a free loopback port; the fault filter acts only on routes that configure it."""
    filters = [(_FAULT, "fault.v3.HTTPFault", {}), ("envoy.filters.http.router", "router.v3.Router", router)]
    config = _typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        route_config={"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        http_filters=[
            {"name": name, "typed_config": _typed(f"filters.http.{kind}", **options)} for name, kind, options in filters
        ],
        preserve_external_request_id=True,
        # Without a caller's id Envoy adds a plain UUID, which stays the same over all retries and hops.
        request_id_extension={
            "typed_config": _typed("request_id.uuid.v3.UuidRequestIdConfig", pack_trace_reason=False)
        },
        max_request_headers_kb=HEADERS_KIB,
        **(manager or {}),
    )
    chain = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": config}],
        **({"transport_socket": _tls("Downstream", tls)} if tls else {}),
    }
    return {"name": name, "address": _address("127.0.0.1:0"), "filter_chains": [chain]}


def _route(cluster: str, action: Json | None = None, match: Json | None = None, headers: Json | None = None) -> Json:
    """Build a route that adds headers; without a timeout in its action it has none."""
    return {
        "match": {"prefix": "/", **(match or {})},
        "route": {"cluster": cluster, "timeout": "0s", **(action or {})},
        "request_headers_to_add": [{"header": {"key": key, "value": value}} for key, value in (headers or {}).items()],
    }


def _cluster(name: str, addresses: Sequence[str], *, idle: str = "60s") -> Json:
    protocol = _typed(
        "upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http_protocol_options": {}},
        common_http_protocol_options={"idle_timeout": idle},
    )
    endpoints = [{"endpoint": {"address": _address(address)}} for address in addresses]
    limits = {"max_connections": 4096, "max_pending_requests": 4096, "max_retries": 99}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "circuit_breakers": {"thresholds": [limits]},
    }


def _tls(side: str, context: Json) -> Json:
    """Build mTLS: an upstream sends its certificate, a downstream requires the client's."""
    required = {"require_client_certificate": True} if side == "Downstream" else {}
    config = _typed(f"transport_sockets.tls.v3.{side}TlsContext", common_tls_context=context, **required)
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _address(address: str) -> Json:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
