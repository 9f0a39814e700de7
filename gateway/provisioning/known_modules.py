"""The ids that have been seen in a scope, for backends that do not say when a module was created.

When a lost create is looked for, an id that had been seen before the claim cannot be its work.
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

#: So many are remembered in the process, to spare the journal what it knows already.
_HELD: Final = 20_000


@dataclass(slots=True)
class KnownModules:
    """Who has been met."""

    journal: Journal
    clock: Clock
    _held: set[tuple[str, str, str]] = field(default_factory=set)

    def record(self, modules: Iterable[Module]) -> None:
        """Remember modules that tell no time of creation; a journal that is down must not spoil a read."""
        new: dict[tuple[str, str], list[str]] = {}
        for module in modules:
            if module.created_at is None and (module.backend, module.scope, module.native_id) not in self._held:
                new.setdefault((module.backend, module.scope), []).append(module.native_id)
        for (backend, scope), native_ids in new.items():
            with suppress(JournalUnavailable):
                self.journal.record_seen(backend, scope, native_ids, at=self.clock.now())
                if len(self._held) > _HELD:
                    self._held.clear()
                self._held.update((backend, scope, native_id) for native_id in native_ids)
