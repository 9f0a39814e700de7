"""The twin's whole state behind one lock; every write takes effect in `World.commit` and nowhere else."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from threading import RLock

from gateway.twins.faults import commit, labels, lag

from .iam import TokenOffice
from .keys import KeyRing
from .projects import Module, Projects
from .refusals import Body
from .replies import write_module
from .seed import Seed
from .writes import Write


@dataclass(frozen=True, slots=True)
class Entry:
    """One write that took effect; a cascading delete leaves one entry for each module that went."""

    sequence: int
    at: str
    operation: str
    natural_key: tuple[str, str]  # (project id, module name after the write)
    id: int
    user: str
    request_id: str | None
    faults: tuple[str, ...] = ()

    def told(self) -> Body:
        """Write the entry down; `faults` is there where some struck."""
        return {name: value for name, value in asdict(self).items() if name != "faults" or value}


class World:
    """Projects, tokens, keys, the ledger and the counts of requests, laid from one seed and relaid by `reset`."""

    projects: Projects
    tokens: TokenOffice
    keys: KeyRing

    def __init__(self, seed: Seed, clock: Callable[[], datetime]) -> None:
        self.seed = seed
        self.lock = RLock()
        self._clock = clock
        self._ledger: list[Entry] = []
        self._requests: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Lay the seed anew: modules, tokens, locked keys, ledger and counts are forgotten."""
        with self.lock:
            self.projects = Projects(self.seed)
            self.tokens = TokenOffice(self.seed, self._clock, self.lock)
            self.keys = KeyRing(self.seed, self._clock, self.lock)
            self._ledger.clear()
            self._requests.clear()

    def commit(self, write: Write, user: str, request_id: str | None) -> Body:
        """Apply one write, enter it into the ledger and return the module it asked for; raises Refusal."""
        return commit(lambda: self._commit(write, user, request_id))

    def _commit(self, write: Write, user: str, request_id: str | None) -> Body:
        with self.lock:
            touched = self._apply(write)
            for module in touched:
                key = (write.project_id, module.name)
                entry = (self._clock().isoformat(), write.operation, key, module.module_id, user, request_id)
                self._ledger.append(Entry(len(self._ledger) + 1, *entry, tuple(labels())))
            return write_module(self.projects.get(write.project_id), touched[0])

    def _apply(self, write: Write) -> list[Module]:
        hidden_for = lag()
        if not hidden_for:
            return write.apply(self.projects)
        project = self.projects.get(write.project_id)
        before = {
            number: replace(module) for number, module in project.modules.items()
        }  # a write changes them in place
        touched = write.apply(self.projects)
        project.hide(hidden_for, {module.module_id: before.get(module.module_id) for module in touched})
        return touched

    def void_tokens(self) -> None:
        """Let every token issued so far be outdated."""
        self.tokens.void()

    def count(self, operation: str) -> None:
        """Note that a request arrived, whatever becomes of it."""
        with self.lock:
            self._requests[operation] += 1

    @property
    def entries(self) -> list[Entry]:
        """Every write that took effect, oldest first."""
        with self.lock:
            return list(self._ledger)

    def requests(self) -> Body:
        """Return how many requests arrived, by operation, and how many tokens were handed out."""
        with self.lock:
            return {**self._requests, "tokens_issued": self.tokens.issued}
