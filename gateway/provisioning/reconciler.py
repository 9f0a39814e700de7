"""Settles the creates whose outcome is unknown by looking them up; a create is never sent again."""

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
#: The timeout of one lookup; an operation is leased for twice as long. Seconds.
_LOOKUP_TIMEOUT: Final = 10.0
_BATCH: Final = 20
#: How long ended operations, and with them the idempotency keys, are kept; seconds.
_RETENTION: Final = 24 * 3600.0
_EXPIRY_INTERVAL: Final = 60.0
_EXPIRY_BATCH: Final = 1000


@dataclass(slots=True)
class Reconciler:
    """Each process runs one; leases in the journal keep two of them from looking up the same operation."""

    journal: Journal
    runtime: Runtime
    backends: Mapping[str, Backend]
    worker_id: str
    known_modules: KnownModules
    on_lookup: Callable[[str, str], None] = lambda _backend, _verdict: None  # for metrics
    poll_interval: float = 1.0  # seconds; operations that another process left behind wait no longer than this
    stopped: bool = False
    _expired_at: float = 0.0

    def run(self) -> None:
        """Look up and settle until stopped; no failure ends the loop."""
        while not self.stopped:
            try:
                has_more = self.run_once()
            except JournalUnavailable:
                has_more = False
            except Exception:
                _log.exception("reconciler iteration failed")
                has_more = False
            if not has_more:
                self.runtime.sleep(self._seconds_until_next())

    def run_once(self) -> bool:
        """Look up each operation that is due, once; return whether there may be more."""
        now = self.runtime.now()
        if now >= self._expired_at + _EXPIRY_INTERVAL:
            deleted = self.journal.expire(settled_before=now - _RETENTION, limit=_EXPIRY_BATCH)
            self._expired_at = 0.0 if deleted == _EXPIRY_BATCH else now  # a full batch is continued in the next run
        self.journal.checkpoint()
        due = self.journal.lease_due(self.worker_id, now=now, lease_seconds=2 * _LOOKUP_TIMEOUT, limit=_BATCH)
        for operation in due:
            call = CallContext(operation.claim.request_id, self.runtime.monotonic() + _LOOKUP_TIMEOUT)
            self._settle(operation, self._lookup(operation, call))
        return len(due) == _BATCH

    def reconcile_now(self, operation: Operation, call: CallContext) -> None:
        """Look up an operation once with a caller's own credential, which is never stored."""
        deadline = min(call.deadline, self.runtime.monotonic() + _LOOKUP_TIMEOUT)
        self._settle(operation, self._lookup(operation, replace(call, deadline=deadline)))

    def _lookup(self, operation: Operation, call: CallContext) -> Settlement | Retry:
        claim = operation.claim
        backend = self.backends.get(claim.backend)
        if backend is None:
            return lookup_failed(operation, self.runtime.now(), "backend_unknown")
        draft = backend.capabilities.normalize(draft_from_json(claim.draft["draft"]))
        started_at = self.runtime.now()  # a module may be created while the response is on its way
        try:
            hits = backend.find_by_natural_key(draft, call)
        except GatewayError as error:
            return lookup_failed(operation, self.runtime.now(), error.code)
        lookup = LookupResult(
            at=started_at,
            hits=hits,
            known_before=lambda hit: self._was_known(claim, hit),
            acting_user=claim.draft.get("acts_as"),
        )
        verdict = decide(operation, draft, lookup)
        self.known_modules.record(hits)
        return verdict

    def _was_known(self, claim: Claim, hit: Module) -> bool:
        """Return whether another create made the module, or it was seen before this create was claimed."""
        creator = self.journal.find_creator(hit.id)
        if creator is not None:
            return creator != claim.id
        return self.journal.was_seen_before(claim.backend, hit.scope, hit.native_id, before=claim.claimed_at)

    def _settle(self, operation: Operation, verdict: Settlement | Retry) -> None:
        operation_id = operation.claim.id
        if isinstance(verdict, Retry):
            self.journal.reschedule(operation_id, due_at=verdict.due_at, evidence=verdict.evidence)
        else:
            self.journal.settle(operation_id, verdict)
        result = verdict.state.value if isinstance(verdict, Settlement) else str(verdict.evidence["what"])
        self.on_lookup(operation.claim.backend, result)
        fields = {
            "operation": operation_id,
            "backend": operation.claim.backend,
            "verdict": result,
            "evidence": verdict.evidence,
            "looks": operation.lookups + 1,
        }
        _log.info("reconciled create", extra={"fields": fields})

    def _seconds_until_next(self) -> float:
        """Return how long to wait until an operation is due, at most `poll_interval`."""
        try:
            due_at = self.journal.next_due()
        except JournalUnavailable:
            return self.poll_interval
        return self.poll_interval if due_at is None else min(max(due_at - self.runtime.now(), 0.01), self.poll_interval)
