"""What is known about a backend's modules before a create is claimed: their ids, and the time on the backend's clock.

A module whose id was seen before the claim of a create, or that is older than the claim, is not the result of that
create.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from gateway.domain.errors import JournalUnavailable
from gateway.domain.journal import Journal
from gateway.domain.module import Module
from gateway.domain.runtime import Clock, Event, Runtime

#: The number of ids that a process caches to avoid repeated writes to the journal.
_CACHE_SIZE: Final = 20_000
#: How long a read waits for another one that records its ids; longer than the journal takes to fail; seconds.
_RECORD_TIMEOUT: Final = 10.0
#: How long a measured time is used, in seconds: clocks drift, and are set.
_MAX_AGE: Final = 600.0
#: What a measured time may be off by, in seconds: creation times are rounded, and a response takes time.
_TOLERANCE: Final = 2.0

_ModuleId = tuple[str, str, str]  # backend, scope, native id


@dataclass(slots=True)
class KnownModules:
    """Records module ids in the journal, each once per process."""

    journal: Journal
    runtime: Runtime
    _cache: set[_ModuleId] = field(default_factory=set)
    #: Ids that were seen while the journal could not be written.
    _unrecorded: set[_ModuleId] = field(default_factory=set)
    _flushed: Event | None = None  # set when the flush that is running has ended

    def record(self, modules: Iterable[Module]) -> None:
        """Record modules before an answer shows them; a read does not fail because the journal is unavailable."""
        ids = {(module.backend, module.scope, module.native_id) for module in modules} - self._cache
        if not ids:
            return
        self._unrecorded |= ids
        if self._flushed is not None:  # another read records these ids too
            self._flushed.wait(_RECORD_TIMEOUT)
            return
        flushed = self._flushed = self.runtime.event()
        try:
            with suppress(JournalUnavailable):
                self.flush()
        finally:
            self._flushed = None
            flushed.set()

    def flush(self) -> None:
        """Record the ids that could not be recorded before; raises JournalUnavailable if they still cannot be.

        Call it before a claim: the order in which the journal stores the two is the evidence.
        """
        while self._unrecorded:
            backend, scope, _ = next(iter(self._unrecorded))
            batch = {module_id for module_id in self._unrecorded if module_id[:2] == (backend, scope)}
            self.journal.record_seen(backend, scope, [native_id for _, _, native_id in batch], at=self.runtime.now())
            self._unrecorded -= batch
            if len(self._cache) > _CACHE_SIZE:
                self._cache.clear()
            self._cache |= batch


@dataclass(slots=True)
class BackendClocks:
    """Estimates the time on each backend's clock from the creation times of this process's own creates.

    No wall clock of the gateway is involved, so none of its steps matters. The Date header of a response proves
    nothing: another machine may have written it.
    """

    clock: Clock
    #: How far each backend's clock is ahead of this process's monotonic clock, and when that was measured; in seconds.
    _offsets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def measure(self, module: Module, *, sent_at: float) -> None:
        """Compare the creation time of a module that was just created with the monotonic time of its create."""
        now = self.clock.monotonic()
        if module.created_at is not None and now - sent_at <= _TOLERANCE:  # a slow create says too little
            self._offsets[module.backend] = module.created_at.timestamp() - now, now

    def now(self, backend: str) -> float | None:
        """Return the time on a backend's clock, or up to two seconds less; None if it was not measured recently."""
        now = self.clock.monotonic()
        offset, measured_at = self._offsets.get(backend, (0.0, -_MAX_AGE))
        return None if now - measured_at >= _MAX_AGE else now + offset - _TOLERANCE
