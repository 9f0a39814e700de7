"""Runs a small mesh: caller → caller's sidecar → mTLS → gateway's sidecar → replicas → gateway's sidecar → twins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.chaos.testbed import GatewayTestbed, Topology
from tests.integration.envoy.certificates import Authority
from tests.integration.envoy.envoy import Envoy, run_envoy
from tests.integration.envoy.sidecars import Json, caller_resources, gateway_resources

DOMAIN: Final = "spiffe://mesh.test/ns/apps/sa"


@dataclass(frozen=True, kw_only=True)
class MeshTopology(Topology):
    """The settings that differ between the meshes of the tests."""

    replicas: int = 2
    workers: int = 1
    deadline: float = 10.0
    hard: float = 3.0
    callers: Sequence[str] = ("portal",)
    retry: Json | None = None  # of the gateway's sidecar
    health: str | None = None  # the interval of its health checks
    idle: str = "60s"  # its timeout of idle connections to the replicas


@dataclass(frozen=True)
class Mesh:
    """A running mesh: the callers' sidecar, the gateway's sidecar, and the processes behind them."""

    testbed: GatewayTestbed
    outer: Envoy
    inner: Envoy

    def address(self, route: str = "plain", caller: str = "portal") -> str:
        """Return the address of a caller's sidecar for a client route."""
        return self.outer.address(f"{caller}-{route}")


@contextmanager
def run_mesh(folder: Path, topology: MeshTopology = MeshTopology(), journal_url: str | None = None) -> Iterator[Mesh]:
    """Run all processes during a with block."""
    authority = Authority()
    with ExitStack() as stack:
        testbed = GatewayTestbed(stack, folder, topology, journal_url)
        inbound = gateway_resources(
            testbed.twins,
            testbed.addresses,
            authority.tls_context(f"{DOMAIN}/gateway"),
            retry=topology.retry,
            health=topology.health,
            idle=topology.idle,
        )
        inner = stack.enter_context(run_envoy(folder, "inner", inbound))
        testbed.start({name: f"http://{inner.address(name)}" for name in testbed.twins})
        callers = {name: authority.tls_context(f"{DOMAIN}/{name}") for name in topology.callers}
        outbound = caller_resources(inner.address("inbound"), callers)
        yield Mesh(testbed, stack.enter_context(run_envoy(folder, "outer", outbound)), inner)
