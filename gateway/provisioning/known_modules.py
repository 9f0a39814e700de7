"""The ids of modules that were seen in a scope, for backends that do not return a creation time.

A module whose id was seen before the claim of a create is not the result of that create.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from gateway.domain.errors import JournalUnavailable
from gateway.domain.journal import Journal
from gateway.domain.module import Module
from gateway.domain.runtime import Clock

#: The number of ids that a process caches to avoid repeated writes to the journal.
_CACHE_SIZE: Final = 20_000


@dataclass(slots=True)
class KnownModules:
    """Records module ids in the journal, each once per process."""

    journal: Journal
    clock: Clock
    _cache: set[tuple[str, str, str]] = field(default_factory=set)

    def record(self, modules: Iterable[Module]) -> None:
        """Record the modules without a creation time; a read does not fail because the journal is unavailable."""
        new_ids: dict[tuple[str, str], list[str]] = {}
        for module in modules:
            if module.created_at is None and (module.backend, module.scope, module.native_id) not in self._cache:
                new_ids.setdefault((module.backend, module.scope), []).append(module.native_id)
        for (backend, scope), native_ids in new_ids.items():
            with suppress(JournalUnavailable):
                self.journal.record_seen(backend, scope, native_ids, at=self.clock.now())
                if len(self._cache) > _CACHE_SIZE:
                    self._cache.clear()
                self._cache.update((backend, scope, native_id) for native_id in native_ids)
