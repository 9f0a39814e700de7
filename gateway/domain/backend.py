"""The backend port: a configured connection to an external system, and what a call to it carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from gateway.domain.capabilities import Capabilities
from gateway.domain.lookup import LookupPage, LookupQuery
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery, Page
from gateway.domain.snapshot import Snapshots
from gateway.domain.telemetry import Tracer, UpstreamMetrics

ConnectionState = Literal["unused", "reachable", "unreachable", "circuit_open"]


@dataclass(slots=True)
class CallContext:
    """What a call to a backend carries from the caller's request: deadline, ids, user and credential."""

    request_id: str
    deadline: float  # on Clock.monotonic()
    operation_id: str | None = None  # the operation that this call's create belongs to
    user: str | None = None  # the verified acting user, for backends that record one
    credential: str | None = field(default=None, repr=False)  # the caller's own, if the connection passes it through
    caller: str = ""  # the name under which it waits for its turn at a backend
    snapshots: Snapshots | None = None  # what the items of a batch have read already
    trace: Mapping[str, str] = field(default_factory=dict)  # headers of the caller's distributed trace
    upstream_seconds: float = field(default=0.0)  # time spent waiting for backends; the transport adds to it
    #: Returns a context manager that redacts the credential from everything that is written, for work that continues
    #: after the request.
    redacting: Callable[[], AbstractContextManager[None]] = field(default=nullcontext, repr=False)

    def for_create(self, operation_id: str, deadline: float) -> CallContext:
        """Return the context of an operation's create, which continues after the caller's own deadline."""
        user, credential, caller = self.user, self.credential, self.caller  # replace() takes ten times as long
        return CallContext(
            self.request_id, deadline, operation_id, user, credential, caller, self.snapshots, self.trace, 0.0,
            self.redacting,
        )  # fmt: skip


class SecretRegistry(Protocol):
    """The secrets that are redacted from everything that is written."""

    def add(self, secret: str) -> None:
        """Redact a secret from now on."""
        ...

    def add_temporary(self, secret: str, seconds: float) -> None:
        """Redact a secret for `seconds`; another call starts the time again."""
        ...

    def remove(self, secret: str) -> None:
        """Stop redacting a secret."""
        ...


class RateLimiter(Protocol):
    """Counts requests per second, for this process or for all replicas."""

    def acquire(self, key: str, per_second: float) -> float:
        """Count one request and return 0, or return, without counting it, how many seconds to wait."""
        ...


@dataclass(frozen=True, slots=True)
class BackendServices:
    """Services that all connections share; None disables one."""

    metrics: UpstreamMetrics | None = None
    limiter: RateLimiter | None = None
    tracer: Tracer | None = None
    secrets: SecretRegistry | None = None


NO_SERVICES: Final = BackendServices()


class Backend(Protocol):
    """A configured connection to an external system that holds modules.

    Every method returns domain objects or raises a GatewayError; no other exception leaves an adapter. A `ref` is the
    part of a module's id after the connection's name; the adapter parses it strictly and raises ModuleNotFound for
    any other form.
    """

    @property
    def name(self) -> str:
        """The connection's name, the first part of every module id."""
        ...

    @property
    def state(self) -> ConnectionState:
        """The state that the last exchange of this process showed."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """The fields and rules of this connection; drafts and patches are validated against them first."""
        ...

    def scope_of(self, ref: str) -> str:
        """Return the scope that a ref belongs to, without a request to the backend; raises ModuleNotFound."""
        ...

    def natural_key(self, draft: ModuleDraft) -> tuple[str, ...]:
        """Return the place in which the backend keeps names unique, and the name."""
        ...

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Create one module; at most one write is sent."""
        ...

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Return the modules that have the draft's natural key: usually none or one."""
        ...

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        """Raise the error, such as ScopeNotFound, ParentNotFound or TemplateManaged, that a create would meet."""
        ...

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """Return one page in a stable order, parents before children; raises ScopeNotFound."""
        ...

    def get(self, ref: str, call: CallContext) -> Module:
        """Return one module; raises ModuleNotFound."""
        ...

    def lookup(self, query: LookupQuery, page_size: int, cursor: str | None, call: CallContext) -> LookupPage:
        """Return the items that match the query, page by page in a stable order; raises ScopeNotFound.

        A page may be short. Only the kinds in `capabilities.lookups` are requested.
        """
        ...

    def update(
        self, ref: str, patch: ModulePatch, call: CallContext, check: Callable[[Module], None] | None = None
    ) -> Module:
        """Change the given fields of one module and return the module after the change.

        `check` is called with the module before the change, and raises if the change must not be sent. Without it, a
        backend that does not need to read the module first does not read it (`Capabilities.reads_before`).
        """
        ...

    def descendants(self, ref: str, call: CallContext) -> Sequence[str]:
        """Return the refs of a module's descendants, children before parents; raises ModuleNotFound."""
        ...

    def delete(self, ref: str, call: CallContext, check: Callable[[Module], None] | None = None) -> None:
        """Delete one module, whose descendants have been deleted; raises ModuleNotFound. For `check` see `update`."""
        ...
