"""What the contract suite stands on: one connected backend, and the facts about what is in it.

Stands are found, not listed: `tests/contract/stands/<type>.py` for each type of backend, or `stand.py` in the
backend's own folder. A module of stands has STANDS: names, and context managers that yield a Stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from gateway import backends
from gateway.domain.backend import Backend
from gateway.domain.module import ModuleDraft


@dataclass(frozen=True, kw_only=True)
class Stand:
    """One backend with something in it."""

    backend: Backend
    scope: str
    parent: str | None
    owner: str
    unknown_scope: str
    unknown_parent: str
    malformed_refs: tuple[str, ...]
    writes: Callable[[], int]  # how many took effect: the twin's own count
    description: str | None = None  # one that every update can carry, where there are descriptions
    makes_children: bool = False
    names_are_unique_in: str = "parent"  # or "scope"

    def draft(self, name: str, parent: str | None = None) -> ModuleDraft:
        """Ask for a module of this name, with one owner, under the stand's parent or another."""
        return ModuleDraft(
            scope=self.scope,
            parent=parent or self.parent,
            name=name,
            description=self.description,
            owners=(self.owner,),
        )


Opener = Callable[[], AbstractContextManager[Stand]]


def find_stands() -> Iterator[tuple[str, Opener]]:
    """Yield the stands of every backend there is; a type without one is a fault of the suite."""
    for kind in backends.discover():
        own = f"gateway.backends.{kind}.stand"
        module = import_module(own if find_spec(own) else f"tests.contract.stands.{kind}")
        stands: Mapping[str, Opener] = module.STANDS
        yield from stands.items()
