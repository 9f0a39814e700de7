"""The normalized module, and the drafts, patches and queries of requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal


class Unset(Enum):
    """The type of UNSET, which marks a field that is not given where null has its own meaning (RFC 7396)."""

    UNSET = "unset"


UNSET: Final[Literal[Unset.UNSET]] = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner of a module; the names are None if the backend returns only ids."""

    id: str
    name: str | None = None
    display_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module; the OpenAPI document describes each field."""

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
    unavailable: tuple[str, ...] = ()  # the fields that the backend's response does not contain
    created_by: str | None = None  # the backend's user, if it returns one: evidence of which create made it

    @property
    def id(self) -> str:
        """The public id, opaque to callers; any replica can serve it without a lookup table."""
        return f"{self.backend}.{self.ref}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDraft:
    """A module to create; None means *not given*."""

    scope: str
    parent: str | None
    name: str
    description: str | None = None
    owners: tuple[str, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulePatch:
    """A change of a module; UNSET leaves a field unchanged, None clears it."""

    name: str | Unset = UNSET
    description: str | Unset | None = UNSET
    owners: tuple[str, ...] | Unset | None = UNSET
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether the patch changes nothing."""
        return self == ModulePatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleQuery:
    """A filter for the modules of one connection; a module must match all of its fields."""

    scope: str
    parent: str | None = None
    name: str | None = None
    include_built_in: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; `next_cursor` is in the adapter's own format, None on the last page."""

    modules: tuple[Module, ...]
    next_cursor: str | None
