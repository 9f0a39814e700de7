"""What the gateway asks of the world outside: backends that hold modules, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from gateway.domain.capabilities import Capabilities
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery, Page
from gateway.domain.operation import Claim, Claimed, Operation, Settlement

State = Literal["unused", "reachable", "unreachable", "circuit_open"]


class Clock(Protocol):
    """Time as the machine tells it; tests put a virtual one in its place."""

    def now(self) -> float:
        """Seconds since the epoch, UTC: for what is written down."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards: for deadlines."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Signal(Protocol):
    """Something that happens once, and that others may wait for."""

    def set(self) -> None:
        """Say that it has happened."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until it has, or so long; tell whether it has."""
        ...


class Runtime(Clock, Protocol):
    """A clock, and work beside the caller's own: threads, greenlets, or a simulation of them."""

    def spawn(self, work: Callable[[], None]) -> None:
        """Begin work that outlives whoever asked for it."""
        ...

    def signal(self) -> Signal:
        """Make a signal."""
        ...


@dataclass(slots=True)
class Call:
    """One caller's request on its way through the gateway: until when, under which id, for whom."""

    request_id: str
    deadline: float  # on Clock.monotonic()
    operation_id: str | None = None  # of the create that this call sends
    user: str | None = None  # the verified identity's, for backends that want to know who acts
    credential: str | None = field(default=None, repr=False)  # the caller's own, where the connection passes it through
    trace: Mapping[str, str] = field(default_factory=dict)  # the headers of a distributed trace, passed on as they are
    upstream_seconds: float = field(default=0.0)  # spent waiting for backends; the transport adds to it

    def sending(self, operation_id: str, deadline: float) -> Call:
        """Return the call that sends an operation's create; it goes on where its caller waits no longer."""
        return Call(self.request_id, deadline, operation_id, self.user, self.credential, self.trace)


class Observer(Protocol):
    """Who counts what happens between the gateway and its backends."""

    def exchanged(self, backend: str, result: str, seconds: float) -> None:
        """Note one exchange: `result` is a class of statuses (2xx …), or why there was none."""
        ...

    def circuit(self, backend: str, *, is_open: bool) -> None:
        """Note that calls to a backend are held back from now on, or no longer."""
        ...


class Exchange(Protocol):
    """One exchange in a distributed trace."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What the backend is to be sent, so that its own spans follow this one."""
        ...

    def end(self, result: str) -> None:
        """Note how it went, in an Observer's words."""
        ...


class Tracer(Protocol):
    """Who draws exchanges into distributed traces."""

    def exchange(self, backend: str, method: str, trace: Mapping[str, str]) -> Exchange:
        """Note that an exchange begins; `trace` is the call's."""
        ...


class Secrets(Protocol):
    """Who keeps credentials out of everything that is written."""

    def add(self, value: str) -> None:
        """Know a value from now on."""
        ...

    def lend(self, value: str, seconds: float) -> None:
        """Know it for so long."""
        ...

    def forget(self, value: str) -> None:
        """Know it no longer."""
        ...


class Limiter(Protocol):
    """Who counts requests a second, for this process or for all replicas."""

    def wait(self, key: str, per_second: float) -> float:
        """Count one request and return 0, or return without counting it how many seconds to wait for a place."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a connection shares with the others; None where nobody counts."""

    observer: Observer | None = None
    limiter: Limiter | None = None
    tracer: Tracer | None = None
    secrets: Secrets | None = None


ALONE: Final = Surroundings()


class Backend(Protocol):
    """A configured connection to an external system that holds modules.

    Every method returns domain objects or raises a GatewayError; nothing else escapes. A `ref` is the part of a
    module's id behind the connection's name; an adapter parses it strictly and raises ModuleNotFound for any other.
    """

    @property
    def name(self) -> str:
        """The connection's name, the first part of every id."""
        ...

    @property
    def state(self) -> State:
        """What the last exchange of this process showed."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What this connection can keep; drafts and patches have been checked against it."""
        ...

    def scope_of(self, ref: str) -> str:
        """Return the scope that a ref lies in, without asking the backend; raises ModuleNotFound."""
        ...

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        """Return the scope in which the backend keeps names unique, and the name."""
        ...

    def create(self, draft: ModuleDraft, call: Call) -> Module:
        """Create one module; at most one write is sent."""
        ...

    def find(self, draft: ModuleDraft, call: Call) -> tuple[Module, ...]:
        """Return what stands under the draft's natural key: usually nothing or one module."""
        ...

    def check_place(self, draft: ModuleDraft, call: Call) -> None:
        """Raise ScopeNotFound, ParentNotFound or TemplateManaged where no module could be created."""
        ...

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: Call) -> Page:
        """Return one page in a stable order, parents before children; ScopeNotFound where there is no such scope."""
        ...

    def get(self, ref: str, call: Call) -> Module:
        """Return one module or raise ModuleNotFound."""
        ...

    def update(self, ref: str, patch: ModulePatch, call: Call) -> Module:
        """Change the given fields of one module and return it as it is now."""
        ...

    def delete(self, ref: str, *, cascade: bool, call: Call) -> Sequence[str]:
        """Delete one module, its children first where `cascade`, and return the refs of all that are gone.

        ModuleNotEmpty where it has children and they are not to be deleted.
        """
        ...


class Journal(Protocol):
    """Where operations are written down, durably, shared by all workers and replicas.

    Every method raises JournalUnavailable where the database cannot be reached or written; none of them waits long.
    What a method has returned from is on disk.
    """

    def claim(self, claim: Claim) -> Claimed:
        """Write a claim, unless another operation stands in its way; looked for in this order.

        *key*: the caller has used this idempotency key (whatever the request was). *memory*: without a key, the same
        caller, request id and fingerprint, within that operation's memory. *name*: the natural key has a live
        operation. The database itself keeps keys and live names unique.
        """
        ...

    def copy(self, claim: Claim, operation: Operation, module_id: str) -> None:
        """Write a claim that shares another operation's success, so that its own key and memory lead there too."""
        ...

    def get(self, operation_id: str) -> Operation | None:
        """Return an operation, None where there is none (or no longer)."""
        ...

    def settle(self, operation_id: str, settlement: Settlement) -> None:
        """End a live operation; one that has ended stays as it is.

        The natural key becomes free. A success and an ambiguity keep idempotency key and memory; a refusal and
        *not applied* give both up: the same request may be sent again.
        """
        ...

    def doubt(self, operation_id: str, *, at: float, due_at: float, evidence: Mapping[str, Any]) -> None:
        """Turn a sending operation into a reconciling one, first look at `due_at`, window from `at` on."""
        ...

    def take_due(self, owner: str, *, now: float, lease_seconds: float, limit: int) -> Sequence[Operation]:
        """Take the live operations whose time has come, for `lease_seconds`; nobody else gets them meanwhile.

        One that was still sending has lost its sender: it becomes reconciling, its window runs from `now` on, and
        the evidence says so.
        """
        ...

    def postpone(self, operation_id: str, *, due_at: float, evidence: Mapping[str, Any]) -> None:
        """Note a look that settled nothing, and when to look again; an operation that has ended stays as it is."""
        ...

    def next_due(self) -> float | None:
        """Return when the next live operation is due, None where there is no live one."""
        ...

    def void_memory(self, module_id: str) -> None:
        """Forget the implicit memory (not the keys) of creates that made this module: it has changed since."""
        ...

    def meet(self, backend: str, scope: str, native_ids: Sequence[str], *, at: float) -> None:
        """Remember ids that were seen in a scope; the first time counts."""
        ...

    def met_before(self, backend: str, scope: str, native_id: str, *, before: float) -> bool:
        """Tell whether an id had been seen before a time."""
        ...

    def made_by(self, module_id: str) -> str | None:
        """Return the id of the operation that succeeded with this module, None where none is known."""
        ...

    def expire(self, *, settled_before: float, limit: int) -> int:
        """Delete ended operations that old, at most so many; return how many. Live ones never expire."""
        ...

    def tidy(self) -> None:
        """Do what else would be done while somebody waits; to be called about once a second."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Count operations by state."""
        ...

    def close(self) -> None:
        """Release what is held open."""
        ...
