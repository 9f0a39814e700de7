"""Runs a small mesh: caller → caller's sidecar → mTLS → gateway's sidecar → replicas → gateway's sidecar → twins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.twins import cmdb, projectman
from gateway.twins.server import running
from tests.integration import http_client
from tests.integration.chaos.kill_points import KillOrders
from tests.integration.chaos.replica import Replica
from tests.integration.chaos.testbed import CONFIGURATION, GatewayTestbed
from tests.integration.envoy.certificates import Authority
from tests.integration.envoy.envoy import Envoy
from tests.integration.envoy.failures import Failure
from tests.integration.envoy.resources import Json
from tests.integration.envoy.sidecars import CLIENT_ROUTES, ClientRoute, Sidecars
from tests.integration.http_client import HttpResponse

HARD_TIMEOUT: Final = 3.0
SETTLE: Final = 3.0
DOMAIN: Final = "spiffe://mesh.test/ns/apps/sa"


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """The settings that differ between the meshes of the tests."""

    replicas: int = 2
    deadline: float = 10.0
    hard: float = HARD_TIMEOUT
    auth: str = ""
    callers: Sequence[str] = ("portal",)
    failures: Sequence[Failure] = ()
    client_routes: Mapping[str, ClientRoute] = field(default_factory=lambda: CLIENT_ROUTES)
    retry: Json | None = None
    health: str | None = None
    idle: str = "60s"
    journal: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mesh:
    """A running mesh: the callers' sidecar, the gateway's sidecar, and the processes behind them."""

    testbed: GatewayTestbed
    outer: Envoy
    inner: Envoy

    def address(self, route: str, caller: str = "portal") -> str:
        """Return the address of a caller's sidecar for a client route."""
        return self.outer.address(f"{caller}-{route}")

    def send(
        self, route: str, method: str, path: str, body: object = None, **options: Mapping[str, str] | str
    ) -> HttpResponse:
        """Send a request through the mesh; the options are `headers` and `caller`."""
        headers, caller = options.get("headers", {}), options.get("caller", "portal")
        assert isinstance(headers, Mapping)
        return http_client.send(self.address(route, str(caller)), method, path, body, headers)


@contextmanager
def run_mesh(folder: Path, config: MeshConfig) -> Iterator[Mesh]:
    """Run all processes during a with block."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "gateway.toml"
    journal = config.journal or f"sqlite:///{folder}/journal/journal.db"
    environ = {"GATEWAY_CONFIG": str(configuration), "CHAOS_SECRET": "SKTEST", **config.environ}
    authority = Authority(folder)
    with ExitStack() as stack:
        twins = {
            "cmdb": stack.enter_context(running(cmdb.create_twin())),
            "projectman": stack.enter_context(running(projectman.create_twin())),
        }
        replicas = [
            Replica(environ, folder / f"gateway-{number}.log", application="wsgi:app")
            for number in range(config.replicas)
        ]
        sidecars = Sidecars(
            replicas=[replica.address for replica in replicas],
            twins=twins,
            server=authority.issue("gateway", f"{DOMAIN}/gateway"),
            clients={name: authority.issue(name, f"{DOMAIN}/{name}") for name in config.callers},
            failures=config.failures,
            client_routes=config.client_routes,
            retry=config.retry,
            health=config.health,
            idle=config.idle,
        )
        inner = _start(stack, Envoy(folder, "inner", sidecars.gateway_resources()))
        outbound = {name: f"http://{inner.address(name)}" for name in twins}
        configuration.write_text(
            CONFIGURATION.format(
                **outbound,
                deadline=config.deadline,
                hard=config.hard,
                settle=SETTLE,
                journal=journal,
                auth=config.auth,
            )
        )
        for replica in replicas:
            stack.callback(replica.kill)
        with ThreadPoolExecutor(len(replicas)) as pool:
            list(pool.map(Replica.start, replicas))
        outer = _start(stack, Envoy(folder, "outer", sidecars.caller_resources(inner.address("inbound"))))
        yield Mesh(GatewayTestbed(twins, journal, replicas, KillOrders(folder)), outer, inner)


def _start(stack: ExitStack, envoy: Envoy) -> Envoy:
    stack.callback(envoy.stop)
    envoy.start()
    return envoy
