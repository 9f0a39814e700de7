"""Builds Envoy's listeners, routes and clusters for the sidecars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Json = Mapping[str, Any]

_TYPES: Final = "type.googleapis.com/envoy.extensions"
FAULT: Final = "envoy.filters.http.fault"
FAULT_TYPE: Final = f"{_TYPES}.filters.http.fault.v3.HTTPFault"
#: Without a caller's id Envoy adds a plain UUID, which stays the same over all retries and hops.
_REQUEST_ID: Final = {
    "typed_config": {"@type": f"{_TYPES}.request_id.uuid.v3.UuidRequestIdConfig", "pack_trace_reason": False}
}
#: Maximum size of all headers of a request, in KiB: room for a token of 32 KiB.
HEADERS_KIB: Final = 96


def listener(name: str, routes: Sequence[Json], *, filters: Sequence[Json] = (), **options: Any) -> Json:
    """Build a listener on a free loopback port.

    `tls` requires a client certificate; `manager` and `router` add settings to these filters.
    """
    router = {"@type": f"{_TYPES}.filters.http.router.v3.Router", **options.get("router", {})}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": router}],
        "preserve_external_request_id": True,
        "request_id_extension": _REQUEST_ID,
        "max_request_headers_kb": HEADERS_KIB,
        **options.get("manager", {}),
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if context := options.get("tls"):
        chain["transport_socket"] = _tls("Downstream", context, require_client_certificate=True)
    return {"name": name, "address": _address("127.0.0.1:0"), "filter_chains": [chain]}


def route(cluster: str, *, timeout: str = "0s", match: Json | None = None, retry: Json | None = None) -> Json:
    """Build a route; 0 s means no timeout."""
    action = {"cluster": cluster, "timeout": timeout, **({"retry_policy": retry} if retry else {})}
    return {"match": {"prefix": "/", **(match or {})}, "route": action}


def cluster(name: str, addresses: Sequence[str], **options: Any) -> Json:
    """Build a cluster; the options are `tls`, `health` (check interval) and `idle` (timeout of idle connections)."""
    endpoints = [{"endpoint": {"address": _address(address)}} for address in addresses]
    protocol = {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": options.get("idle", "60s")},
    }
    resource: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "circuit_breakers": {
            "thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_retries": 99}]
        },
    }
    if context := options.get("tls"):
        resource["transport_socket"] = _tls("Upstream", context)
    if interval := options.get("health"):
        resource["health_checks"] = [_health(interval)]
        # By default Envoy delays updates to its workers by up to a second.
        resource["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"}
    return resource


def fault_filter() -> Json:
    """Build the fault filter, which acts only on routes that configure it."""
    return {"name": FAULT, "typed_config": {"@type": FAULT_TYPE}}


def _health(interval: str) -> Json:
    """Check /readyz: a 503 counts at once; the timeout is long, since a busy machine slows a replica down."""
    return {
        "timeout": "5s",
        "interval": interval,
        "no_traffic_interval": interval,
        "unhealthy_interval": interval,
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/readyz"},
    }


def _tls(side: str, context: Json, **options: Any) -> Json:
    typed = {"@type": f"{_TYPES}.transport_sockets.tls.v3.{side}TlsContext", "common_tls_context": context, **options}
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed}


def _address(address: str) -> Json:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
