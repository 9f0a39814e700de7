"""The fixtures of the contract suite: one backend each, with the facts about its contents.

They are discovered: `testbed.py` in a backend's own package, or `tests/contract/fixtures/<type>.py`. Such a module
defines FIXTURES, a mapping from names to context managers that yield a BackendFixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import requests

from gateway import backends
from gateway.domain.backend import Backend
from gateway.domain.lookup import LookupKind
from gateway.domain.module import ModuleDraft


@dataclass(frozen=True, kw_only=True)
class BackendFixture:
    """One backend that contains at least the scope and the parent."""

    backend: Backend
    scope: str
    parent: str | None
    owner: str
    unknown_scope: str
    unknown_parent: str
    malformed_refs: tuple[str, ...]
    writes: Callable[[], int]  # the number of writes that took effect, as the twin counts them
    lookups: Mapping[LookupKind, tuple[str, ...]]  # the ids that each lookup returns, of parents and owners in `scope`
    description: str | None = None  # a description for every update, if the backend has descriptions
    makes_children: bool = False
    names_are_unique_in: str = "parent"  # or "scope"

    def draft(self, name: str, parent: str | None = None) -> ModuleDraft:
        """Return a draft with this name and one owner, under the given parent or the fixture's."""
        return ModuleDraft(
            scope=self.scope,
            parent=parent or self.parent,
            name=name,
            description=self.description,
            owners=(self.owner,),
        )


def effective_writes(url: str) -> int:
    """Return the number of writes that a twin applied."""
    return len(requests.get(f"{url}/twin/ledger", timeout=5).json()["writes"])


FixtureFactory = Callable[[], AbstractContextManager[BackendFixture]]


def find_fixtures() -> Iterator[tuple[str, FixtureFactory]]:
    """Yield the fixtures of every backend; fails if a backend has none."""
    for backend_type in backends.discover():
        own_module = f"gateway.backends.{backend_type}.testbed"
        module = import_module(own_module if find_spec(own_module) else f"tests.contract.fixtures.{backend_type}")
        fixtures: Mapping[str, FixtureFactory] = module.FIXTURES
        yield from fixtures.items()
