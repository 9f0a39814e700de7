"""Settles what nobody knows: looks for lost creates, and never sends one again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError, JournalUnavailable
from gateway.domain.journal import Journal
from gateway.domain.module import Module
from gateway.domain.operation import Claim, Operation, Settlement
from gateway.domain.runtime import Runtime
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.serialization import draft_from_json
from gateway.provisioning.verdict import LookupResult, Retry, decide, lookup_failed

_log: Final = logging.getLogger("gateway.reconciler")
#: One look may take so long; whoever took an operation has it for twice that.
_LOOK_SECONDS: Final = 10.0
_BATCH: Final = 20
#: Ended operations, and with them the idempotency keys, are kept so long; seconds.
_KEPT: Final = 24 * 3600.0
_EXPIRY_EVERY: Final = 60.0
_EXPIRY_BATCH: Final = 1000


@dataclass(slots=True)
class Reconciler:
    """One in each process; leases in the journal keep them out of each other's way."""

    journal: Journal
    runtime: Runtime
    backends: Mapping[str, Backend]
    worker_id: str
    known_modules: KnownModules
    on_lookup: Callable[[str, str], None] = lambda _backend, _verdict: None  # for whoever counts
    idle_seconds: float = 1.0  # how long what another process left behind may wait for somebody to see it
    stopped: bool = False
    _expired_at: float = 0.0

    def run(self) -> None:
        """Look, settle and wait, until stopped; no failure ends it."""
        while not self.stopped:
            try:
                busy = self.run_once()
            except JournalUnavailable:
                busy = False
            except Exception:
                _log.exception("the reconciler stumbled")
                busy = False
            if not busy:
                self.runtime.sleep(self._pause())

    def run_once(self) -> bool:
        """Take what is due and look once at each; tell whether there may be more."""
        now = self.runtime.now()
        if now >= self._expired_at + _EXPIRY_EVERY:
            gone = self.journal.expire(settled_before=now - _KEPT, limit=_EXPIRY_BATCH)
            self._expired_at = 0.0 if gone == _EXPIRY_BATCH else now  # with the next look, or with the next minute
        self.journal.checkpoint()
        due = self.journal.lease_due(self.worker_id, now=now, lease_seconds=2 * _LOOK_SECONDS, limit=_BATCH)
        for operation in due:
            call = CallContext(operation.claim.request_id, self.runtime.monotonic() + _LOOK_SECONDS)
            self._settle(operation, self._look(operation, call))
        return len(due) == _BATCH

    def reconcile_now(self, operation: Operation, call: CallContext) -> None:
        """Look once with a caller's own credential, which nobody has kept; what is due to all waits for him to ask."""
        deadline = min(call.deadline, self.runtime.monotonic() + _LOOK_SECONDS)
        self._settle(operation, self._look(operation, replace(call, deadline=deadline)))

    def _look(self, operation: Operation, call: CallContext) -> Settlement | Retry:
        claim = operation.claim
        backend = self.backends.get(claim.backend)
        if backend is None:
            return lookup_failed(operation, self.runtime.now(), "backend_unknown")
        draft = draft_from_json(claim.draft["draft"])
        asked_at = self.runtime.now()  # what is not there yet may come while the answer travels
        try:
            hits = backend.find_by_natural_key(draft, call)
        except GatewayError as error:
            return lookup_failed(operation, self.runtime.now(), error.code)
        look = LookupResult(
            at=asked_at,
            hits=hits,
            known_before=lambda hit: self._known(claim, hit),
            acting_user=claim.draft.get("acts_as"),
        )
        verdict = decide(operation, draft, look)
        self.known_modules.record(hits)
        return verdict

    def _known(self, claim: Claim, hit: Module) -> bool:
        """Tell whether a module is another create's work, or had been seen before this one was claimed."""
        maker = self.journal.find_creator(hit.id)
        if maker is not None:
            return maker != claim.id
        return self.journal.was_seen_before(claim.backend, hit.scope, hit.native_id, before=claim.claimed_at)

    def _settle(self, operation: Operation, verdict: Settlement | Retry) -> None:
        operation_id = operation.claim.id
        if isinstance(verdict, Retry):
            self.journal.reschedule(operation_id, due_at=verdict.due_at, evidence=verdict.evidence)
        else:
            self.journal.settle(operation_id, verdict)
        what = verdict.state.value if isinstance(verdict, Settlement) else str(verdict.evidence["what"])
        self.on_lookup(operation.claim.backend, what)
        facts = {
            "operation": operation_id,
            "backend": operation.claim.backend,
            "verdict": what,
            "evidence": verdict.evidence,
            "looks": operation.lookups + 1,
        }
        _log.info("looked for a lost create", extra={"fields": facts})

    def _pause(self) -> float:
        """Wait until something is due, but not longer than another process's leavings may wait."""
        try:
            due = self.journal.next_due()
        except JournalUnavailable:
            return self.idle_seconds
        return self.idle_seconds if due is None else min(max(due - self.runtime.now(), 0.01), self.idle_seconds)
