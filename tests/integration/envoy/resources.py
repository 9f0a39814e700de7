"""Envoy's listeners, routes and clusters, as small as the sidecars need them; the words are Envoy's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = Mapping[str, Any]

_TYPES: Final = "type.googleapis.com/envoy.extensions"
FAULT: Final = "envoy.filters.http.fault"
FAULT_TYPE: Final = f"{_TYPES}.filters.http.fault.v3.HTTPFault"
#: Envoy's own id, where a caller sends none, is plain and stays what it is over all retries and hops.
_REQUEST_ID: Final = {
    "typed_config": {"@type": f"{_TYPES}.request_id.uuid.v3.UuidRequestIdConfig", "pack_trace_reason": False}
}
#: KiB that all headers of a request may take: a token of 32 KiB and whatever else there is.
HEADERS_KIB: Final = 96


def listener(name: str, routes: Sequence[Json], *, filters: Sequence[Json] = (), **more: Any) -> Json:
    """Build a listener on a free loopback port.

    `tls` makes it ask for a client's certificate; `manager` and `router` add to the settings of these two.
    """
    router = {"@type": f"{_TYPES}.filters.http.router.v3.Router", **more.get("router", {})}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": router}],
        "preserve_external_request_id": True,
        "request_id_extension": _REQUEST_ID,
        "max_request_headers_kb": HEADERS_KIB,
        **more.get("manager", {}),
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if context := more.get("tls"):
        chain["transport_socket"] = _tls("Downstream", context, require_client_certificate=True)
    return {"name": name, "address": _address("127.0.0.1:0"), "filter_chains": [chain]}


def route(cluster: str, *, timeout: str = "0s", match: Json | None = None, retry: Json | None = None) -> Json:
    """Build a route; a timeout of 0 s is none."""
    action = {"cluster": cluster, "timeout": timeout, **({"retry_policy": retry} if retry else {})}
    return {"match": {"prefix": "/", **(match or {})}, "route": action}


def cluster(name: str, addresses: Sequence[str], **more: Any) -> Json:
    """Build a cluster; `tls`, `health` (the check's interval) and `idle` (of kept connections) where given."""
    endpoints = [{"endpoint": {"address": _address(address)}} for address in addresses]
    options = {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": more.get("idle", "60s")},
    }
    built: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "circuit_breakers": {
            "thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_retries": 99}]
        },
    }
    if context := more.get("tls"):
        built["transport_socket"] = _tls("Upstream", context)
    if interval := more.get("health"):
        built["health_checks"] = [_health(interval)]
        # By default Envoy tells its workers of a change up to a second later.
        built["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}
    return built


def fault_filter() -> Json:
    """Build the fault filter, idle but for routes that configure it."""
    return {"name": FAULT, "typed_config": {"@type": FAULT_TYPE}}


def _health(interval: str) -> Json:
    """Ask /readyz: a 503 is believed at once, a replica that is only slow (on a busy machine) has some patience."""
    return {
        "timeout": "5s",
        "interval": interval,
        "no_traffic_interval": interval,
        "unhealthy_interval": interval,
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/readyz"},
    }


def _tls(side: str, context: Json, **more: Any) -> Json:
    typed = {"@type": f"{_TYPES}.transport_sockets.tls.v3.{side}TlsContext", "common_tls_context": context, **more}
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed}


def _address(where: str) -> Json:
    host, _, port = where.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
