"""Runs both twins and the gateway's replicas with a journal, as real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, sleep
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
#: The claim's lease, the lookups of the settle window, a reconciler killed during one, and a margin.
_SETTLE_TIMEOUT: Final = 60.0
_CONFIGURATION: Final = """
[server]
deadline_seconds = {deadline}
[journal]
url = "{journal_url}"
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
    """The number of processes, their timeouts in seconds, and further settings."""

    replicas: int = 1
    workers: int = 2
    deadline: float = 1.5
    hard: float = 2.0
    settle: float = 3.0
    application: str = "wsgi:app"
    command_prefix: Sequence[str] = ()
    auth: str = ""
    ready_path: str = "/readyz"  # what a start waits for
    environ: Mapping[str, str] = field(default_factory=dict)


class GatewayTestbed:
    """The processes; the twins' ledgers are the evidence of what took effect."""

    def __init__(self, stack: ExitStack, folder: Path, topology: Topology, journal_url: str | None) -> None:
        """Run the twins until the stack is closed; `start` starts the gateway."""
        (orders := folder / "orders").mkdir(parents=True)
        self.kill_orders = KillOrders(orders)
        self.journal_url = journal_url or f"sqlite:///{folder}/journal/journal.db"
        self.twins = {
            "cmdb": stack.enter_context(running(cmdb.create_twin())),
            "projectman": stack.enter_context(running(projectman.create_twin())),
        }
        self.folder = folder
        self._stack = stack
        self._topology = topology
        self._configuration = folder / "gateway.toml"
        environ = {
            "GATEWAY_CONFIG": str(self._configuration),
            "GATEWAY_WORKERS": str(topology.workers),
            "CHAOS_SECRET": "SKTEST",
            VARIABLE: str(orders),
            **topology.environ,
        }
        self.replicas = [
            Replica(
                environ,
                folder / f"gateway-{number}.log",
                application=topology.application,
                command_prefix=topology.command_prefix,
                ready_path=topology.ready_path,
            )
            for number in range(topology.replicas)
        ]
        self.addresses = [replica.address for replica in self.replicas]

    def start(self, backends: Mapping[str, str]) -> None:
        """Start the replicas with these URLs of the backends."""
        settings = {**asdict(self._topology), **backends, "journal_url": self.journal_url}
        self._configuration.write_text(_CONFIGURATION.format(**settings))
        for replica in self.replicas:
            self._stack.callback(replica.kill)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Replica.start, self.replicas))

    def twin(self, backend: str, method: str, path: str, body: object = None) -> Any:
        """Send a request to the control interface of a twin and return the body of the response."""
        response = send(self.twins[backend].removeprefix("http://"), method, f"/twin/{path}", body)
        assert response.status < 300, response
        return response.body

    def fault(self, backend: str, *faults: Mapping[str, object]) -> None:
        """Inject faults into the next create."""
        self.twin(backend, "POST", "faults", [{"operation": "create", **fault} for fault in faults])

    def created(self, backend: str, name: str | None = None) -> list[Mapping[str, Any]]:
        """Return the ledger entries of the creates that took effect, of one name or of all."""
        entries = self.twin(backend, "GET", "ledger")["writes"]
        creates = [entry for entry in entries if entry["operation"].startswith("create")]
        return [entry for entry in creates if name in {None, entry["natural_key"][-1]}]

    def created_ids(self, backend: str, name: str | None = None) -> list[str]:
        """Return the backend's ids of the modules that were created."""
        return [str(entry["id"]) for entry in self.created(backend, name)]

    def created_count(self, backend: str, name: str) -> int:
        """Return the number of creates of a name that took effect."""
        return len(self.created(backend, name))

    def sent(self, backend: str, name: str | None = None) -> int:
        """Return the number of creates that arrived at the backend, of one name or of all."""
        attempts = self.twin(backend, "GET", "attempts")["attempts"]
        creates = [attempt for attempt in attempts if attempt["operation"].startswith("create")]
        return sum(name in {None, attempt["name"]} for attempt in creates)

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
    deadline = monotonic() + seconds
    while not condition():
        if monotonic() > deadline:
            return False
        sleep(0.05)
    return True


@contextmanager
def run_testbed(
    folder: Path, topology: Topology = Topology(), journal_url: str | None = None
) -> Iterator[GatewayTestbed]:
    """Run all processes during a with block."""
    with ExitStack() as stack:
        testbed = GatewayTestbed(stack, folder, topology, journal_url)
        testbed.start(testbed.twins)
        yield testbed
