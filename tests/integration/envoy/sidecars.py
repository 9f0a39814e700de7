"""Resources of the two sidecars of a call: the caller's and the gateway's, inbound and outbound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.integration.envoy.certificates import SidecarIdentity
from tests.integration.envoy.failures import Failure
from tests.integration.envoy.resources import Json, cluster, fault_filter, listener, route

#: The default retry conditions of a mesh and all others.
RETRY_ON: Final = "connect-failure,refused-stream,reset,gateway-error,5xx,retriable-status-codes"
TRY_TIMEOUT: Final = 0.5
TRIES: Final = 4
SHORT_TIMEOUT: Final = 1.0

#: A caller controls its own sidecar: this one forwards any certificate header of the caller.
_FORWARD_ALL: Final = {"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"}


@dataclass(frozen=True, kw_only=True)
class ClientRoute:
    """A route of the caller's sidecar: its timeout in seconds (0: none), retries, and timeout header."""

    timeout: float = 0.0
    retry: Json | None = None
    timeout_header: str = "x-envoy-expected-rq-timeout-ms"  # Envoy's own; the route adds any other header

    def listener(self, name: str, cluster: str) -> Json:
        """Return the listener of this route."""
        resource: dict[str, Any] = {**route(cluster, timeout=f"{self.timeout}s", retry=self.retry)}
        if self.timeout_header == ClientRoute.timeout_header:
            return listener(name, [resource], manager=_FORWARD_ALL)
        header = {"header": {"key": self.timeout_header, "value": str(int(self.timeout * 1000))}}
        resource["request_headers_to_add"] = [header]
        return listener(name, [resource], manager=_FORWARD_ALL, router={"suppress_envoy_headers": True})


RETRY: Final[Json] = {
    "retry_on": RETRY_ON,
    "retriable_status_codes": [429, 503],
    "num_retries": TRIES - 1,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": 3,
}
CLIENT_ROUTES: Final[Mapping[str, ClientRoute]] = {
    "plain": ClientRoute(),
    "retried": ClientRoute(retry=RETRY),
    "retried-with-timeout": ClientRoute(retry={**RETRY, "per_try_timeout": f"{TRY_TIMEOUT}s"}),
    "short": ClientRoute(timeout=SHORT_TIMEOUT),
    "short-own-header": ClientRoute(timeout=SHORT_TIMEOUT, timeout_header="x-request-timeout-ms"),
    "short-unknown-header": ClientRoute(timeout=SHORT_TIMEOUT, timeout_header="x-unknown-header"),
}


@dataclass(frozen=True, kw_only=True)
class Sidecars:
    """The settings of both sidecars."""

    replicas: Sequence[str]
    twins: Mapping[str, str]
    server: SidecarIdentity
    clients: Mapping[str, SidecarIdentity]
    failures: Sequence[Failure] = ()
    client_routes: Mapping[str, ClientRoute] = field(default_factory=lambda: CLIENT_ROUTES)
    retry: Json | None = None  # on the route to the replicas
    health: str | None = None
    idle: str = "60s"

    def gateway_resources(self) -> Json:
        """Return the gateway's sidecar: mTLS inbound, plain HTTP to the replicas, outbound to the twins."""
        manager = {
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {"uri": True, "subject": True},
            # Envoy removes x-envoy-expected-rq-timeout-ms from requests of addresses that are not internal.
            "use_remote_address": True,
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.1", "prefix_len": 32}]},
        }
        inbound = listener("inbound", [route("gateway", retry=self.retry)], tls=self.server.context, manager=manager)
        outbound = [listener(name, self._outbound(name), filters=[fault_filter()]) for name in self.twins]
        return {
            "listeners": [inbound, *outbound],
            "clusters": [
                cluster("gateway", self.replicas, health=self.health, idle=self.idle),
                *(cluster(name, [url.removeprefix("http://")]) for name, url in self.twins.items()),
            ],
        }

    def caller_resources(self, inbound: str) -> Json:
        """Return the callers' sidecar: a listener for each caller and client route."""
        return {
            "listeners": [
                client_route.listener(f"{caller}-{name}", caller)
                for caller in self.clients
                for name, client_route in self.client_routes.items()
            ],
            "clusters": [cluster(name, [inbound], tls=identity.context) for name, identity in self.clients.items()],
        }

    def _outbound(self, name: str) -> list[Json]:
        failing = [
            {**route(name, timeout=f"{failure.timeout}s", match=failure.match), **failure.route}
            for failure in self.failures
        ]
        return [*failing, route(name)]
