"""Ends the holds of changes whose sender has died or whose outcome is unknown.

Such a change may still be applied, and would then overwrite a newer one. Its module is released when a read shows that
it was applied, or at the end of its window: the time within which the sender, and after it the backend, may apply it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gateway.domain.backend import Backend, CallContext
from gateway.domain.change import Change
from gateway.domain.errors import GatewayError, JournalUnavailable, ModuleNotFound, Outcome
from gateway.domain.journal import ChangeJournal
from gateway.domain.runtime import Runtime
from gateway.provisioning.update_delete import is_shown
from gateway.provisioning.verdict import LOOKUP_SCHEDULE

_log: Final = logging.getLogger("gateway.reconciler")
_POLL_INTERVAL: Final = 1.0  # seconds
_READ_TIMEOUT: Final = 10.0  # seconds
#: Between lookups after the last one of the schedule; seconds.
_LATE_INTERVAL: Final = 60.0


@dataclass(slots=True)
class ChangeReconciler:
    """Each process runs one; a due time in the journal keeps two of them from reading the same module at once."""

    journal: ChangeJournal
    runtime: Runtime
    backends: Mapping[str, Backend]
    #: By change: the monotonic time at which this process first saw it. No wall clock shortens a window.
    _seen_at: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Check the holds once a second; no failure ends the loop."""
        while True:
            try:
                self.run_once()
            except JournalUnavailable:  # tried again after the pause
                pass
            except Exception:
                _log.exception("change reconciler iteration failed")
            self.runtime.sleep(_POLL_INTERVAL)

    def run_once(self) -> None:
        """Check each hold: mark changes of dead senders, read modules that are due, release what is over."""
        changes = self.journal.held_changes()
        now = self.runtime.monotonic()
        self._seen_at = {change.id: self._seen_at.get(change.id, now) for change in changes}
        for change in changes:
            observed_seconds = now - self._seen_at[change.id]
            if observed_seconds >= change.lease_seconds + change.settle_seconds:
                self._end(change, Outcome.UNKNOWN)
                self.journal.release_change(change.id)
            elif change.outcome is not None:
                self._read_back_if_due(change, observed_seconds)
            elif observed_seconds >= change.lease_seconds:
                self._end(change, Outcome.UNKNOWN)

    def _read_back_if_due(self, change: Change, observed_seconds: float) -> None:
        delays = [seconds - observed_seconds for seconds in LOOKUP_SCHEDULE if seconds > observed_seconds]
        now = self.runtime.now()
        if self.journal.lease_change(change.id, now=now, due_at=now + (delays[0] if delays else _LATE_INTERVAL)):
            self.runtime.spawn(partial(self._read_back, change))

    def _read_back(self, change: Change) -> None:
        """End a change as applied if its module shows it, and was held while it was read: no later change is shown."""
        backend = self.backends.get(change.backend)
        if backend is None:
            return
        try:
            module = backend.get(change.ref, CallContext(change.request_id, self.runtime.monotonic() + _READ_TIMEOUT))
        except ModuleNotFound:
            is_applied = change.action == "delete"
        except GatewayError:
            return
        else:
            is_applied = change.action == "update" and is_shown(change.fields, module)
        if is_applied:
            try:
                if any(held.id == change.id for held in self.journal.held_changes()):
                    self._end(change, Outcome.APPLIED)
            except JournalUnavailable:
                _log.warning("failed to persist read-back", extra={"fields": {"module": change.module_id}})

    def _end(self, change: Change, outcome: Outcome) -> None:
        self.journal.end_change(change.id, outcome, at=self.runtime.now())
        fields = {"module": change.module_id, "request_id": change.request_id, "outcome": outcome.value}
        _log.info("reconciled change", extra={"fields": fields})
