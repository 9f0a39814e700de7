"""Runs both twins and the gateway's replicas with a journal, as real processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.journals import create_journal
from gateway.twins import cmdb, projectman
from gateway.twins.server import running
from tests.integration.chaos.kill_points import VARIABLE, KillOrders
from tests.integration.chaos.replica import Replica
from tests.integration.http_client import send

#: The location and owner of created modules: an empty set, and a project.
TARGETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "cmdb": {"scope": "1", "parent": "10", "owners": ["admin"]},
    "projectman": {
        "scope": "0792b7d26cb74bd799cbae80063dc74a",
        "owners": ["09d75cde5180d4481f91c018e89cb8e2"],
    },
}
HARD_TIMEOUT: Final = 2.0
SETTLE: Final = 3.0
#: The claim's lease, the lookups of the settle window, a reconciler killed during one, and a margin.
_SETTLE_TIMEOUT: Final = 60.0

CONFIGURATION: Final = """
[server]
deadline_seconds = {deadline}
[journal]
url = "{journal}"
{auth}
[backends.cmdb]
type = "cmdb"
base_url = "{cmdb}"
app_code = "gateway"
app_secret = "env:CHAOS_SECRET"
username = "admin"
hard_timeout_seconds = {hard}
settle_seconds = {settle}
[backends.projectman]
type = "projectman"
base_url = "{projectman}"
access_key = "AKTEST"
secret_key = "env:CHAOS_SECRET"
hard_timeout_seconds = {hard}
settle_seconds = {settle}
"""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The number of processes, and their timeouts in seconds."""

    replicas: int = 1
    workers: int = 2
    deadline: float = 1.5
    hard: float = HARD_TIMEOUT
    settle: float = SETTLE
    application: str = "wsgi:app"
    limit: str | None = None


class GatewayTestbed:
    """The running processes; the twins' ledgers are the evidence of what took effect."""

    def __init__(
        self, twins: Mapping[str, str], journal_url: str, replicas: Sequence[Replica], kill_orders: KillOrders
    ) -> None:
        self.twins = twins
        self.journal_url = journal_url
        self.replicas = replicas
        self.kill_orders = kill_orders

    @property
    def addresses(self) -> list[str]:
        """Return the addresses of the replicas."""
        return [replica.address for replica in self.replicas]

    def twin(self, backend: str, method: str, path: str, body: object = None) -> Any:
        """Send a request to the control interface of a twin and return the body of the response."""
        response = send(self.twins[backend].removeprefix("http://"), method, f"/twin/{path}", body)
        assert response.status < 300, response
        return response.body

    def fault(self, backend: str, *faults: Mapping[str, object]) -> None:
        """Inject faults into the next create."""
        self.twin(backend, "POST", "faults", [{"operation": "create", **fault} for fault in faults])

    def created(self, backend: str) -> list[Mapping[str, Any]]:
        """Return the ledger entries of the creates that took effect."""
        entries = self.twin(backend, "GET", "ledger")["writes"]
        return [entry for entry in entries if entry["operation"].startswith("create")]

    def created_count(self, backend: str, name: str) -> int:
        """Return the number of creates of a name that took effect."""
        return sum(entry["natural_key"][-1] == name for entry in self.created(backend))

    def sent(self, backend: str, name: str | None = None) -> int:
        """Return the number of creates that arrived at the backend, of one name or of all."""
        attempts = self.twin(backend, "GET", "attempts")["attempts"]
        names = [attempt["name"] for attempt in attempts if attempt["operation"].startswith("create")]
        return len(names) if name is None else names.count(name)

    def live(self) -> int:
        """Return the number of operations that have not ended."""
        with closing(create_journal(self.journal_url)) as journal:
            counts = journal.counts()
        return counts["sending"] + counts["reconciling"]

    def wait_until_settled(self) -> bool:
        """Wait until every operation has ended; return False after a timeout."""
        return eventually(lambda: not self.live(), _SETTLE_TIMEOUT)


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds; return False after a timeout."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def run_testbed(
    folder: Path, topology: Topology = Topology(), journal_url: str | None = None
) -> Iterator[GatewayTestbed]:
    """Run all processes during a with block."""
    folder.mkdir(parents=True, exist_ok=True)
    (orders := folder / "orders").mkdir()
    journal = journal_url or f"sqlite:///{folder}/journal/journal.db"
    configuration = folder / "gateway.toml"
    environ = {
        "GATEWAY_CONFIG": str(configuration),
        "GATEWAY_WORKERS": str(topology.workers),
        "CHAOS_SECRET": "SKTEST",
        VARIABLE: str(orders),
    }
    with ExitStack() as stack:
        twins = {
            "cmdb": stack.enter_context(running(cmdb.create_twin())),
            "projectman": stack.enter_context(running(projectman.create_twin())),
        }
        configuration.write_text(
            CONFIGURATION.format(
                auth="",
                journal=journal,
                deadline=topology.deadline,
                hard=topology.hard,
                settle=topology.settle,
                **twins,
            )
        )
        replicas = [
            Replica(environ, folder / f"gateway-{number}.log", application=topology.application)
            for number in range(topology.replicas)
        ]
        for replica in replicas:
            stack.callback(replica.kill)
            replica.start(limit=topology.limit)
        yield GatewayTestbed(twins, journal, replicas, KillOrders(orders))
