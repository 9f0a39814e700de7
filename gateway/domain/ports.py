"""What the gateway asks of the world outside: backends that hold modules, and a clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from gateway.domain.capabilities import Capabilities
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery, Page

State = Literal["unused", "reachable", "unreachable"]


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


@dataclass(slots=True)
class Call:
    """One caller's request on its way through the gateway: until when, under which id, for whom."""

    request_id: str
    deadline: float  # on Clock.monotonic()
    upstream_seconds: float = field(default=0.0)  # spent waiting for backends; the transport adds to it


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

    def delete(self, ref: str, *, cascade: bool, call: Call) -> None:
        """Delete one module, its children first where `cascade`; ModuleNotEmpty where it has some otherwise."""
        ...
