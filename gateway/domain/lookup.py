"""Lookups: the scopes of a connection, and the parents and owners of a scope, which a form offers as choices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.domain.module import Module

LookupKind = Literal["scopes", "parents", "owners"]
#: How many responses of a backend one page is read from at most; a page that needs more is short.
MAX_READS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupItem:
    """One choice; `why` is the code of the error that a create would meet, None if the item can be used."""

    id: str
    name: str
    path: str  # the names from the root, joined by PATH_SEPARATOR; of a person the display name
    why: str | None = None

    @property
    def usable(self) -> bool:
        """Whether a create can use the item."""
        return self.why is None


PATH_SEPARATOR: Final = " / "


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupQuery:
    """A filter of items; `scope` is empty in a lookup of scopes."""

    kind: LookupKind
    scope: str = ""
    text: str = ""  # a part of the name, in any case; of an owner, also of the display name
    scopes: frozenset[str] | None = None  # the scopes that the caller may see, None for all

    def matches(self, item: LookupItem) -> bool:
        """Return whether an item has the text, and, if it is a scope, whether the caller may see it."""
        if self.kind == "scopes" and self.scopes is not None and item.id not in self.scopes:
            return False
        text = self.text.casefold()
        return text in item.name.casefold() or (self.kind == "owners" and text in item.path.casefold())


@dataclass(frozen=True, slots=True)
class LookupPage:
    """One page; `next_cursor` is in the adapter's own format, None on the last page."""

    items: tuple[LookupItem, ...]
    next_cursor: str | None
    modules: tuple[Module, ...] = ()  # the modules that were read; they are recorded as seen


@dataclass(frozen=True, slots=True)
class LookupBatch:
    """The items of one response of a backend, each with the cursor of a page that begins with it."""

    items: Sequence[tuple[str, LookupItem]]
    next_cursor: str | None  # None for the last response


def take_page(batches: Iterable[LookupBatch], query: LookupQuery, page_size: int) -> LookupPage:
    """Return the first matching items of the batches, which are read one by one, at most MAX_READS of them.

    The page is short if these contain fewer matching items; its cursor continues after the last batch read.
    """
    items: list[LookupItem] = []
    for read_count, batch in enumerate(batches, start=1):
        for cursor, item in batch.items:
            if query.matches(item):
                if len(items) == page_size:
                    return LookupPage(tuple(items), cursor)
                items.append(item)
        if batch.next_cursor is not None and (len(items) == page_size or read_count == MAX_READS):
            return LookupPage(tuple(items), batch.next_cursor)
    return LookupPage(tuple(items), None)
