"""A mesh in small: caller → his sidecar → mTLS → the gateway's sidecar → replicas → the same sidecar → the twins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.twins import cmdb, projectman
from gateway.twins.server import running
from tests.integration.chaos.http import Answer
from tests.integration.chaos.points import Orders
from tests.integration.chaos.replica import Replica
from tests.integration.chaos.stand import CONFIGURATION, Stand
from tests.integration.envoy.asking import ask
from tests.integration.envoy.certificates import Authority
from tests.integration.envoy.envoy import Envoy
from tests.integration.envoy.resources import Json
from tests.integration.envoy.sidecars import WAYS, Sidecars, Way
from tests.integration.envoy.troubles import Trouble

HARD_TIMEOUT: Final = 3.0
SETTLE: Final = 3.0
DOMAIN: Final = "spiffe://mesh.test/ns/apps/sa"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What differs between the meshes of the tests."""

    replicas: int = 2
    deadline: float = 10.0
    hard: float = HARD_TIMEOUT
    auth: str = ""
    callers: Sequence[str] = ("portal",)
    troubles: Sequence[Trouble] = ()
    ways: Mapping[str, Way] = field(default_factory=lambda: WAYS)
    retry: Json | None = None
    health: str | None = None
    idle: str = "60s"
    journal: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mesh:
    """A running mesh: the caller's sidecar and the gateway's, and what stands behind them."""

    stand: Stand
    outer: Envoy
    inner: Envoy

    def at(self, way: str, caller: str = "portal") -> str:
        """Return where a caller's sidecar listens for requests that are to go this way."""
        return self.outer.address(f"{caller}-{way}")

    def ask(self, way: str, method: str, path: str, body: object = None, **more: Mapping[str, str] | str) -> Answer:
        """Ask through the mesh; `headers` and `caller` where they matter."""
        headers, caller = more.get("headers", {}), more.get("caller", "portal")
        assert isinstance(headers, Mapping)
        return ask(self.at(way, str(caller)), method, path, body, headers)


@contextmanager
def meshed(folder: Path, shape: Shape | None = None) -> Iterator[Mesh]:
    """Start everything, and end it whatever happens."""
    wanted = shape or Shape()
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "gateway.toml"
    journal = wanted.journal or f"sqlite:///{folder}/journal/journal.db"
    environ = {"GATEWAY_CONFIG": str(configuration), "CHAOS_SECRET": "SKTEST", **wanted.environ}
    authority = Authority(folder)
    with ExitStack() as stack:
        twins = {
            "cmdb": stack.enter_context(running(cmdb.create_twin())),
            "projectman": stack.enter_context(running(projectman.create_twin())),
        }
        replicas = [
            Replica(environ, folder / f"gateway-{number}.log", application="wsgi:app")
            for number in range(wanted.replicas)
        ]
        sidecars = Sidecars(
            replicas=[replica.address for replica in replicas],
            twins=twins,
            server=authority.issue("gateway", f"{DOMAIN}/gateway"),
            clients={name: authority.issue(name, f"{DOMAIN}/{name}") for name in wanted.callers},
            troubles=wanted.troubles,
            ways=wanted.ways,
            retry=wanted.retry,
            health=wanted.health,
            idle=wanted.idle,
        )
        inner = _started(stack, Envoy(folder, "inner", sidecars.gateways()))
        outbound = {name: f"http://{inner.address(name)}" for name in twins}
        configuration.write_text(
            CONFIGURATION.format(
                **outbound,
                deadline=wanted.deadline,
                hard=wanted.hard,
                settle=SETTLE,
                journal=journal,
                auth=wanted.auth,
            )
        )
        for replica in replicas:
            stack.callback(replica.kill)
        with ThreadPoolExecutor(len(replicas)) as pool:
            list(pool.map(Replica.start, replicas))
        outer = _started(stack, Envoy(folder, "outer", sidecars.callers(inner.address("inbound"))))
        yield Mesh(Stand(twins, journal, replicas, Orders(folder)), outer, inner)


def _started(stack: ExitStack, envoy: Envoy) -> Envoy:
    stack.callback(envoy.stop)
    envoy.start()
    return envoy
