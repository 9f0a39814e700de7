"""Updates and deletes before they are sent, and the entries of the change log that GET /changes returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.domain.errors import Outcome

#: By field name, attributes as `attributes.NAME`: the value that was requested under `to`, the one that the module had
#: under `from`, which is absent if the gateway did not read it.
ChangedFields = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An update or delete. Times are seconds since the epoch; durations are measured on monotonic clocks.

    It holds its module: no other change of that module is sent until its outcome is known, or until
    `lease_seconds + settle_seconds` after it began.
    """

    id: str
    backend: str
    scope: str
    module_id: str
    action: Literal["update", "delete"]
    caller: str
    user: str | None
    request_id: str
    fields: ChangedFields
    started_at: float
    lease_seconds: float  # after it the sender counts as dead
    settle_seconds: float  # how long after that a change of unknown outcome may still be applied
    outcome: Outcome | None = None  # None while it is on its way

    @property
    def ref(self) -> str:
        """The adapter's part of the module's id."""
        return self.module_id.partition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEntry:
    """A published change: a create, update or delete with its outcome. A later verdict is another entry."""

    seq: int  # ascending in the order of publication
    at: float
    action: Literal["create", "update", "delete"]
    outcome: Outcome
    module: str | None  # None if no module is known, for example of a refused create
    backend: str
    scope: str
    caller: str
    user: str | None
    request_id: str
    operation: str | None
    fields: ChangedFields


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFilter:
    """Which entries a reader gets. `places` are pairs of connection and scope, in which None stands for any."""

    places: Sequence[tuple[str | None, str | None]] = ((None, None),)
    backend: str | None = None
    scope: str | None = None
    module: str | None = None

    def matches(self, entry: ChangeEntry) -> bool:
        """Return whether an entry is in one of the places and has the given values."""
        return (
            any(backend in {None, entry.backend} and scope in {None, entry.scope} for backend, scope in self.places)
            and self.backend in {None, entry.backend}
            and self.scope in {None, entry.scope}
            and self.module in {None, entry.module}
        )


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Entries in the order of `seq`. A reader that goes on from `next_after` misses none and sees none twice."""

    entries: Sequence[ChangeEntry]
    next_after: int
