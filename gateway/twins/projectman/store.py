"""The state of the twin behind one lock; every write takes effect in `Store.commit`."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from threading import RLock

from gateway.twins.faults.injector import commit_write, fault_labels, read_lag_seconds
from gateway.twins.projectman.auth import AccessKeyStore
from gateway.twins.projectman.commands import Command
from gateway.twins.projectman.errors import Body
from gateway.twins.projectman.iam import TokenService
from gateway.twins.projectman.projects import Projects, StoredModule
from gateway.twins.projectman.seed import ProjectManSeed
from gateway.twins.projectman.serializers import serialize_module


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A write that was applied; a cascading delete has an entry for each module."""

    sequence: int
    at: str
    operation: str
    natural_key: tuple[str, str]  # project id, module name after the write
    id: int
    user: str
    request_id: str | None
    faults: tuple[str, ...] = ()

    def to_dict(self) -> Body:
        """Return the entry as JSON; without `faults` if there are none."""
        return {name: value for name, value in asdict(self).items() if name != "faults" or value}


class Store:
    """Projects, tokens, access keys, the ledger and the request counts."""

    projects: Projects
    tokens: TokenService
    access_keys: AccessKeyStore

    def __init__(self, seed: ProjectManSeed, clock: Callable[[], datetime]) -> None:
        self.seed = seed
        self.lock = RLock()
        self._clock = clock
        self._ledger: list[LedgerEntry] = []
        self._requests: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Return to the state of the seed."""
        with self.lock:
            self.projects = Projects(self.seed)
            self.tokens = TokenService(self.seed, self._clock, self.lock)
            self.access_keys = AccessKeyStore(self.seed, self._clock, self.lock)
            self._ledger.clear()
            self._requests.clear()

    def commit(self, command: Command, user: str, request_id: str | None) -> Body:
        """Apply a command, append it to the ledger and return the requested module; raises ProjectManError."""
        return commit_write(lambda: self._apply_and_record(command, user, request_id))

    def _apply_and_record(self, command: Command, user: str, request_id: str | None) -> Body:
        with self.lock:
            changed = self._apply(command)
            for module in changed:
                entry = LedgerEntry(
                    sequence=len(self._ledger) + 1,
                    at=self._clock().isoformat(),
                    operation=command.operation,
                    natural_key=(command.project_id, module.name),
                    id=module.module_id,
                    user=user,
                    request_id=request_id,
                    faults=tuple(fault_labels()),
                )
                self._ledger.append(entry)
            return serialize_module(self.projects.get(command.project_id), changed[0])

    def _apply(self, command: Command) -> list[StoredModule]:
        """Apply a command, hide it from reads if a fault says so, and return the changed modules."""
        lag_seconds = read_lag_seconds()
        if not lag_seconds:
            return command.apply(self.projects)
        project = self.projects.get(command.project_id)
        # Copies, because a command changes modules in place.
        copies = {module_id: replace(module) for module_id, module in project.modules.items()}
        changed = command.apply(self.projects)
        project.hide(lag_seconds, {module.module_id: copies.get(module.module_id) for module in changed})
        return changed

    def expire_tokens(self) -> None:
        """Expire every token issued so far."""
        self.tokens.expire_all()

    def count_request(self, operation: str) -> None:
        """Count a request, whatever its outcome."""
        with self.lock:
            self._requests[operation] += 1

    @property
    def ledger(self) -> list[LedgerEntry]:
        """The writes that were applied, oldest first."""
        with self.lock:
            return list(self._ledger)

    def request_counts(self) -> Body:
        """Return the number of requests by operation, and the number of tokens issued."""
        with self.lock:
            return {**self._requests, "tokens_issued": self.tokens.issued_count}
