"""The normalized module, and what a caller may ask about one: create, change, list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal


class Unset(Enum):
    """The one value that says *not given* where null has a meaning of its own (RFC 7396, merge-patch)."""

    UNSET = "unset"


UNSET: Final[Literal[Unset.UNSET]] = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for a module; names are null where the backend tells only ids."""

    id: str
    name: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module as the gateway tells it; section 1 of the README's contract explains every field."""

    backend: str
    ref: str  # the adapter's own part of the id, for example "1.10.37825"
    native_id: str
    scope: str
    parent: str | None
    name: str
    description: str | None = None
    owners: tuple[Owner, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    depth: int | None = None
    has_children: bool | None = None
    built_in: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None
    unavailable: tuple[str, ...] = ()  # fields that this reply could not know
    created_by: str | None = None  # the backend's user, where it tells: proof of whose create it was

    @property
    def id(self) -> str:
        """The public id: opaque to callers, enough for any replica to serve it."""
        return f"{self.backend}.{self.ref}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDraft:
    """What is asked to be created; None means *not given*."""

    scope: str
    parent: str | None
    name: str
    description: str | None = None
    owners: tuple[str, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulePatch:
    """What is asked to be changed; UNSET leaves a field alone, None empties it."""

    name: str | Unset = UNSET
    description: str | Unset | None = UNSET
    owners: tuple[str, ...] | Unset | None = UNSET
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is asked to be changed."""
        return self == ModulePatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleQuery:
    """Which modules of one connection are asked for; the filters are joined by *and*."""

    scope: str
    parent: str | None = None
    name: str | None = None
    include_built_in: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `next_cursor` is the adapter's own word and None at the end."""

    modules: tuple[Module, ...]
    next_cursor: str | None
