"""The two sidecars of a call: the caller's, with its ways to ask, and the gateway's, inbound and outbound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.integration.envoy.certificates import Identity
from tests.integration.envoy.resources import Json, cluster, fault_filter, listener, route
from tests.integration.envoy.troubles import Trouble

#: What a mesh repeats by default, and everything else that it could repeat.
RETRY_ON: Final = "connect-failure,refused-stream,reset,gateway-error,5xx,retriable-status-codes"
PER_TRY: Final = 0.5
TRIES: Final = 4
SHORT: Final = 1.0


#: A caller may do with his own sidecar what he likes: it passes on whatever certificate he writes himself.
_CARELESS: Final = {"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"}


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the caller's sidecar asks: what it repeats, how long it waits (0: for ever), and how it says so."""

    timeout: float = 0.0
    retry: Json | None = None
    says_by: str = "x-envoy-expected-rq-timeout-ms"  # Envoy's own; any other header is added by the route

    def listener(self, name: str, cluster: str) -> Json:
        """Return the listener for requests that are to go this way."""
        way: dict[str, Any] = {**route(cluster, timeout=f"{self.timeout}s", retry=self.retry)}
        if self.says_by == Way.says_by:
            return listener(name, [way], manager=_CARELESS)
        told = {"header": {"key": self.says_by, "value": str(int(self.timeout * 1000))}}
        way["request_headers_to_add"] = [told]
        return listener(name, [way], manager=_CARELESS, router={"suppress_envoy_headers": True})


RETRIED: Final[Json] = {
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
WAYS: Final[Mapping[str, Way]] = {
    "plain": Way(),
    "retried": Way(retry=RETRIED),
    "hasty": Way(retry={**RETRIED, "per_try_timeout": f"{PER_TRY}s"}),
    "short": Way(timeout=SHORT),
    "short-told": Way(timeout=SHORT, says_by="x-request-timeout-ms"),
    "short-untold": Way(timeout=SHORT, says_by="x-nobody-reads-this"),
}


@dataclass(frozen=True, kw_only=True)
class Sidecars:
    """What both are made of."""

    replicas: Sequence[str]
    twins: Mapping[str, str]
    server: Identity
    clients: Mapping[str, Identity]
    troubles: Sequence[Trouble] = ()
    ways: Mapping[str, Way] = field(default_factory=lambda: WAYS)
    retry: Json | None = None  # where the choice between the replicas is made
    health: str | None = None
    idle: str = "60s"

    def gateways(self) -> Json:
        """Return the resources of the sidecar beside the gateway: mTLS in, plain to the replicas, out to the twins."""
        manager = {
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {"uri": True, "subject": True},
            # From any other address x-envoy-expected-rq-timeout-ms is taken out: a second Envoy believes no stranger.
            "use_remote_address": True,
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.1", "prefix_len": 32}]},
        }
        inbound = listener("inbound", [route("gateway", retry=self.retry)], tls=self.server.context, manager=manager)
        outbound = [listener(name, self._out(name), filters=[fault_filter()]) for name in self.twins]
        return {
            "listeners": [inbound, *outbound],
            "clusters": [
                cluster("gateway", self.replicas, health=self.health, idle=self.idle),
                *(cluster(name, [url.removeprefix("http://")]) for name, url in self.twins.items()),
            ],
        }

    def callers(self, inbound: str) -> Json:
        """Return the resources of the callers' sidecars: a listener for each way to ask and each identity."""
        return {
            "listeners": [
                how.listener(f"{caller}-{way}", caller) for caller in self.clients for way, how in self.ways.items()
            ],
            "clusters": [cluster(name, [inbound], tls=identity.context) for name, identity in self.clients.items()],
        }

    def _out(self, name: str) -> list[Json]:
        troubled = [
            {**route(name, timeout=f"{trouble.timeout}s", match=trouble.match), **trouble.route}
            for trouble in self.troubles
        ]
        return [*troubled, route(name)]
