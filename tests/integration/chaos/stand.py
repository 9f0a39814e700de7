"""Both twins, a journal and the gateway's replicas in front of them: real processes, all of them ended together."""

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
from tests.integration.chaos.http import ask
from tests.integration.chaos.points import VARIABLE, Orders
from tests.integration.chaos.replica import Replica

#: Where modules are made: a set without any, and a project.
PLACES: Final[Mapping[str, Mapping[str, Any]]] = {
    "cmdb": {"scope": "1", "parent": "10", "owners": ["admin"]},
    "projectman": {
        "scope": "0792b7d26cb74bd799cbae80063dc74a",
        "owners": ["09d75cde5180d4481f91c018e89cb8e2"],
    },
}
HARD_TIMEOUT: Final = 2.0
SETTLE: Final = 3.0
#: The claim's lease, the looks of the window, a reconciler that died in the middle of one, and some room.
SETTLED_WITHIN: Final = 60.0

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
class Shape:
    """How many processes there are, and how long they wait."""

    replicas: int = 1
    workers: int = 2
    deadline: float = 1.5
    hard: float = HARD_TIMEOUT
    settle: float = SETTLE
    application: str = "wsgi:app"
    limit: str | None = None


class Stand:
    """What a run works with; the twins' ledgers are the truth."""

    def __init__(self, twins: Mapping[str, str], journal_url: str, replicas: Sequence[Replica], orders: Orders) -> None:
        self.twins = twins
        self.journal_url = journal_url
        self.replicas = replicas
        self.orders = orders

    @property
    def addresses(self) -> list[str]:
        """Return where the gateway answers."""
        return [replica.address for replica in self.replicas]

    def twin(self, backend: str, method: str, path: str, body: object = None) -> Any:
        """Ask a twin about itself."""
        answer = ask(self.twins[backend].removeprefix("http://"), method, f"/twin/{path}", body)
        assert answer.status < 300, answer
        return answer.body

    def fault(self, backend: str, *faults: Mapping[str, object]) -> None:
        """Order faults for the next create."""
        self.twin(backend, "POST", "faults", [{"operation": "create", **fault} for fault in faults])

    def created(self, backend: str) -> list[Mapping[str, Any]]:
        """Return the creates that took effect."""
        return [
            each for each in self.twin(backend, "GET", "ledger")["writes"] if each["operation"].startswith("create")
        ]

    def creates_of(self, backend: str, name: str) -> int:
        """Count the creates of a name that took effect."""
        return sum(each["natural_key"][-1] == name for each in self.created(backend))

    def sent(self, backend: str, name: str | None = None) -> int:
        """Count the creates that arrived, of a name or at all."""
        attempts = self.twin(backend, "GET", "attempts")["attempts"]
        creates = [each["name"] for each in attempts if each["operation"].startswith("create")]
        return len(creates) if name is None else creates.count(name)

    def live(self) -> int:
        """Count the operations that have not ended."""
        with closing(create_journal(self.journal_url)) as journal:
            counts = journal.counts()
        return counts["sending"] + counts["reconciling"]

    def settles(self) -> bool:
        """Wait until every operation has ended, or too long."""
        return eventually(lambda: not self.live(), SETTLED_WITHIN)


def eventually(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; tell whether it does."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def match(folder: Path, shape: Shape | None = None, journal_url: str | None = None) -> Iterator[Stand]:
    """Start everything, and end it whatever happens."""
    wanted = shape or Shape()
    folder.mkdir(parents=True, exist_ok=True)
    (orders := folder / "orders").mkdir()
    journal = journal_url or f"sqlite:///{folder}/journal/journal.db"
    configuration = folder / "gateway.toml"
    environ = {
        "GATEWAY_CONFIG": str(configuration),
        "GATEWAY_WORKERS": str(wanted.workers),
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
                auth="", journal=journal, deadline=wanted.deadline, hard=wanted.hard, settle=wanted.settle, **twins
            )
        )
        replicas = [
            Replica(environ, folder / f"gateway-{number}.log", application=wanted.application)
            for number in range(wanted.replicas)
        ]
        for replica in replicas:
            stack.callback(replica.kill)
            replica.start(limit=wanted.limit)
        yield Stand(twins, journal, replicas, Orders(orders))
