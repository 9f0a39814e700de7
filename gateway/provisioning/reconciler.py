"""Settles the creates whose outcome is unknown by looking them up; a create is never sent again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError, JournalUnavailable
from gateway.domain.journal import Journal
from gateway.domain.module import Module
from gateway.domain.operation import Claim, Operation, Settlement, State
from gateway.domain.runtime import Runtime
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
#: From this number of lookups on, a connection waits, so that a hanging one does not use up the batches; others go on.
_MAX_LOOKUPS: Final = 10
#: At least as long as the time between two lookups, in seconds.
_MAX_LOOKUP_INTERVAL: Final = 120.0
#: The number of operations whose windows a process remembers; without one it starts from the journal's value.
_MAX_WINDOWS: Final = 100_000


@dataclass(slots=True)
class Reconciler:
    """Each process runs one; leases in the journal keep two of them from looking up the same operation."""

    journal: Journal
    runtime: Runtime
    backends: Mapping[str, Backend]
    worker_id: str
    on_lookup: Callable[[str, str], None] = lambda _backend, _verdict: None  # for metrics
    #: Is called with None when the journal was read and written, and with the error when it was not.
    on_journal: Callable[[JournalUnavailable | None], None] = lambda _error: None
    poll_interval: float = 1.0  # seconds; operations that another process left behind wait no longer than this
    stopped: bool = False
    _expired_at: float = 0.0
    _running_lookups: Counter[str] = field(default_factory=Counter)  # by connection
    #: By operation: the part of its settle window that was over when this process first saw it, less the monotonic
    #: time of that moment. The sum with a later monotonic time is a part that is over by then.
    _window_starts: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Settle creates of unknown outcome until stopped; no failure ends the loop."""
        while not self.stopped:
            try:
                has_more = self.run_once()
                self.on_journal(None)
            except JournalUnavailable as error:  # tried again after the pause
                self.on_journal(error)
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
        due = self.journal.lease_due(
            self.worker_id,
            now=now,
            lease_seconds=2 * _LOOKUP_TIMEOUT,
            horizon_seconds=self._horizon_seconds(),
            except_backends=[name for name, count in self._running_lookups.items() if count >= _MAX_LOOKUPS],
            limit=_BATCH,
        )
        for operation in due:
            self._running_lookups[operation.claim.backend] += 1
            self.runtime.spawn(partial(self._look_up_and_settle, operation))
        return len(due) == _BATCH

    def _look_up_and_settle(self, operation: Operation) -> None:
        """Look up one operation; after a failure its lease ends, and it is due again."""
        deadline = self.runtime.monotonic() + _LOOKUP_TIMEOUT
        call = CallContext(operation.claim.request_id, deadline, operation.claim.id)
        fields = {
            "backend": operation.claim.backend,
            "request_id": operation.claim.request_id,
            "operation": operation.claim.id,
        }
        try:
            self._settle(operation, self._lookup(operation, call))
        except JournalUnavailable:
            _log.warning("failed to persist lookup", extra={"fields": fields})
        except Exception:
            _log.exception("lookup failed unexpectedly", extra={"fields": fields})
        finally:
            self._running_lookups[operation.claim.backend] -= 1

    def settle_before_change(self, backend: str, scope: str, call: CallContext) -> None:
        """Look up the creates of a scope whose outcome is unknown: the change of a module could hide it from a lookup.

        A client that changes the module has seen it, so this lookup finds it.
        """
        for operation in self.journal.active_operations(backend):
            if operation.state is State.RECONCILING and operation.claim.draft["draft"]["scope"] == scope:
                self.reconcile_now(operation, call)

    def reconcile_now(self, operation: Operation, call: CallContext) -> None:
        """Look up an operation once with a caller's own credential, which is never stored."""
        deadline = min(call.deadline, self.runtime.monotonic() + _LOOKUP_TIMEOUT)
        lookup_call = replace(call, deadline=deadline, operation_id=operation.claim.id)
        self._settle(operation, self._lookup(operation, lookup_call))

    def _lookup(self, operation: Operation, call: CallContext) -> Settlement | Retry:
        # A module may be created while the response is on its way, so the time before the request counts.
        claim, started_at, observed_seconds = operation.claim, self.runtime.now(), self.observed_seconds(operation)
        backend = self.backends.get(claim.backend)
        if backend is None:
            return lookup_failed(operation, started_at, observed_seconds, "backend_unknown")
        capabilities = backend.capabilities
        draft, skew = capabilities.normalize(draft_from_json(claim.draft["draft"])), capabilities.clock_skew_seconds
        try:
            hits = backend.find_by_natural_key(draft, call)
        except GatewayError as error:
            return lookup_failed(operation, started_at, observed_seconds, error.code)
        lookup = LookupResult(
            at=started_at,
            observed_seconds=observed_seconds,
            hits=hits,
            known_before=lambda hit: self._was_known(claim, hit, skew),
            clock_skew_seconds=skew,
        )
        return decide(operation, draft, lookup)

    def observed_seconds(self, operation: Operation) -> float:
        """Return how much of the settle window is over, at least.

        Only monotonic time that a living process has counted is added up. A step of a wall clock, or the wall clock
        of another replica, shortens no window.
        """
        operation_id, now = operation.claim.id, self.runtime.monotonic()
        start = max(operation.observed_seconds - now, self._window_starts.get(operation_id, -now))
        if len(self._window_starts) > _MAX_WINDOWS:  # those that another process settled
            self._window_starts.clear()
        self._window_starts[operation_id] = start
        return now + start

    def _was_known(self, claim: Claim, hit: Module, clock_skew_seconds: float) -> bool:
        """Return whether another create made the module, or it was seen before this create was claimed."""
        creator = self.journal.find_creator(hit.id)
        if creator is not None:
            return creator != claim.id
        return self.journal.was_seen_before(claim, hit.scope, hit.native_id, clock_skew_seconds=clock_skew_seconds)

    def _horizon_seconds(self) -> float:
        """Return the longest time from now for which any replica may have made an operation due."""
        return _MAX_LOOKUP_INTERVAL + max(
            (
                backend.capabilities.clock_skew_seconds
                + backend.capabilities.settle_seconds
                + backend.capabilities.hard_timeout_seconds
                for backend in self.backends.values()
            ),
            default=0.0,
        )

    def _settle(self, operation: Operation, verdict: Settlement | Retry) -> None:
        operation_id = operation.claim.id
        if isinstance(verdict, Retry):
            self.journal.reschedule(
                operation_id,
                due_at=verdict.due_at,
                observed_seconds=verdict.observed_seconds,
                evidence=verdict.evidence,
            )
        else:
            self.journal.settle(operation_id, verdict)
            self._window_starts.pop(operation_id, None)
        result = verdict.state.value if isinstance(verdict, Settlement) else str(verdict.evidence["what"])
        self.on_lookup(operation.claim.backend, result)
        fields = {
            "operation": operation_id,
            "backend": operation.claim.backend,
            "request_id": operation.claim.request_id,
            "verdict": result,
            "evidence": verdict.evidence,
            "looks": operation.lookups + 1,
        }
        _log.info("reconciled create", extra={"fields": fields})

    def _seconds_until_next(self) -> float:
        """Return how long to wait until an operation is due, at most `poll_interval`.

        One that is overdue belongs to another process, which may be late.
        """
        try:
            due_at = self.journal.next_due()
        except JournalUnavailable:
            return self.poll_interval
        seconds = 0.0 if due_at is None else due_at - self.runtime.now()
        return min(seconds, self.poll_interval) if seconds > 0.0 else self.poll_interval
