"""Creates that happen exactly once: the claim, the wait for the result, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import (
    BackendUnavailable,
    CreateInProgress,
    Draining,
    GatewayError,
    IdempotencyKeyReused,
    JournalUnavailable,
    OutcomeAmbiguous,
    OutcomeUnknown,
)
from gateway.domain.journal import Journal
from gateway.domain.messages import message
from gateway.domain.module import Module
from gateway.domain.operation import Claim, ClaimMatch, ClaimResult, Operation, State
from gateway.domain.runtime import Event, Runtime
from gateway.provisioning.create import CreatedModule, CreateRequest, send
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.serialization import draft_to_json, error_from_json, fingerprint, module_from_json

#: How long after the end of its hard timeout a send counts as abandoned; seconds.
_LEASE_MARGIN: Final = 5.0
#: How long the same caller, request id and request are the same create if there is no idempotency key; seconds.
DEDUP_SECONDS: Final = 600.0
#: How often the journal is read while another process sends the create: first and longest interval, doubling; seconds.
_POLL_INTERVALS: Final = (0.02, 0.25)
#: The same if the caller's own credential is needed: each time, the backend is read too.
_LOOKUP_INTERVALS: Final = (0.3, 2.0)


@dataclass(frozen=True, slots=True)
class CreateResult:
    """A module, the operation that created it, and whether an earlier request had started that operation."""

    created: CreatedModule
    operation_id: str
    replayed: bool


@dataclass(slots=True)
class _InFlightCreate:
    """A create that this process is sending."""

    done: Event
    result: CreatedModule | GatewayError | None = None  # None until done, and afterwards if the outcome is unknown


@dataclass(slots=True)
class Provisioner:
    """Creates modules exactly once. Each process has one; they share a journal."""

    journal: Journal
    runtime: Runtime
    new_id: Callable[[], str]
    worker_id: str
    known_modules: KnownModules
    #: Looks up an unsettled create with the credential of a caller that waits for it.
    reconcile_now: Callable[[Operation, CallContext], None] = lambda _operation, _call: None
    draining: bool = False
    _in_flight: dict[str, _InFlightCreate] = field(default_factory=dict)

    def create(self, backend: Backend, request: CreateRequest, call: CallContext) -> CreateResult:
        """Create a module once, however often it is requested; return or raise before the caller's deadline."""
        claim, result, in_flight = self._claim_or_join(backend, request, call)
        if in_flight is not None:
            in_flight.done.wait(max(call.deadline - self.runtime.monotonic(), 0.0))
            if result.match == "claimed" and in_flight.result is not None:
                if isinstance(in_flight.result, GatewayError):
                    raise in_flight.result
                return CreateResult(in_flight.result, claim.id, replayed=False)
        operation = self._wait_for_result(result.operation, call)
        created = self._result_or_raise(operation, result.match, claim)
        if result.match == "name":  # the key and request id of this request must replay the shared result next time
            self.journal.share_result(claim, operation, created.module.id)
        return CreateResult(created, operation.claim.id, replayed=result.match != "claimed")

    def start(self, backend: Backend, request: CreateRequest, call: CallContext) -> ClaimResult:
        """Claim and start a create, or find the caller's operation of the same create; it is durable on return."""
        result = self._claim_or_join(backend, request, call)[1]
        if result.operation.claim.caller != request.caller:
            raise CreateInProgress
        return result

    def in_flight(self) -> int:
        """Return the number of creates that this process is sending."""
        return len(self._in_flight)

    def record_seen(self, modules: Iterable[Module]) -> None:
        """Record modules that a read returned: none of them can be the result of a create claimed later."""
        self.known_modules.record(modules)

    def _claim_or_join(
        self, backend: Backend, request: CreateRequest, call: CallContext
    ) -> tuple[Claim, ClaimResult, _InFlightCreate | None]:
        """Return the claim of this request, its result, and the send of this process that it started or joined."""
        if self.draining:
            raise Draining
        operation_id = self.new_id()
        claim = self._new_claim(backend, request, call, operation_id)
        result = self.journal.claim(claim)
        if result.match == "claimed":
            return claim, result, self._start_send(backend, request, call, operation_id)
        if result.operation.claim.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReused if result.match == "key" else CreateInProgress
        return claim, result, self._in_flight.get(result.operation.claim.id)

    def _new_claim(self, backend: Backend, request: CreateRequest, call: CallContext, operation_id: str) -> Claim:
        draft, capabilities, now = draft_to_json(request.draft), backend.capabilities, self.runtime.now()
        return Claim(
            id=operation_id,
            backend=backend.name,
            natural_key=backend.natural_key(request.draft),
            caller=request.caller,
            idempotency_key=request.idempotency_key,
            request_id=call.request_id,
            fingerprint=fingerprint(backend.name, draft, request.if_exists),
            draft={
                "draft": draft,
                "if_exists": request.if_exists,
                "probed": capabilities.probe_before_create,
                "acts_as": capabilities.acting_user and (call.user or capabilities.acting_user),
            },
            dedup_until=None if request.idempotency_key else now + DEDUP_SECONDS,
            claimed_at=now,
            lease_until=now + capabilities.hard_timeout_seconds + _LEASE_MARGIN,
            settle_seconds=capabilities.settle_seconds,
            worker_id=self.worker_id,
        )

    def _start_send(
        self, backend: Backend, request: CreateRequest, call: CallContext, operation_id: str
    ) -> _InFlightCreate:
        # The deadline counts from the claim: a process that was suspended since then sends nothing.
        deadline = self.runtime.monotonic() + backend.capabilities.hard_timeout_seconds
        create_call = call.for_create(operation_id, deadline)
        in_flight = self._in_flight[operation_id] = _InFlightCreate(self.runtime.event())

        def work() -> None:
            try:
                with create_call.redacting():
                    in_flight.result = send(
                        backend,
                        request,
                        create_call,
                        operation_id=operation_id,
                        journal=self.journal,
                        clock=self.runtime,
                    )
            finally:
                call.upstream_seconds += create_call.upstream_seconds
                self._in_flight.pop(operation_id, None)
                in_flight.done.set()

        self.runtime.spawn(work)
        return in_flight

    def _wait_for_result(self, operation: Operation, call: CallContext) -> Operation:
        """Poll the journal until the operation has ended or the deadline is reached; return its last known state."""
        interval, max_interval = _POLL_INTERVALS if call.credential is None else _LOOKUP_INTERVALS
        while operation.state.is_active:
            remaining = call.deadline - self.runtime.monotonic()
            if remaining <= 0:
                break
            self.runtime.sleep(min(interval, remaining))
            interval = min(interval * 2, max_interval)
            with suppress(JournalUnavailable):  # the claim is durable: a read that fails does not change the outcome
                if call.credential is not None and operation.state is State.RECONCILING:
                    self.reconcile_now(operation, call)
                operation = self.journal.get(operation.claim.id) or operation
        return operation

    @staticmethod
    def _result_or_raise(operation: Operation, match: ClaimMatch, claim: Claim) -> CreatedModule:
        """Return the module of an operation, or raise the error that its state means for this request.

        A proxy repeats a request under the same request id, and its caller knows of one request only: the repetition
        of a create that is still being sent is therefore *unknown*, not *not applied*.
        """
        if operation.state is State.SUCCEEDED and operation.module is not None:
            return CreatedModule(*module_from_json(operation.module))
        if operation.state is State.REFUSED and operation.error is not None:
            raise error_from_json(operation.error)
        if operation.state is State.NOT_APPLIED:
            raise BackendUnavailable(message("create_not_applied"))
        operation_id, is_own = operation.claim.id, match != "name"
        if operation.state is State.AMBIGUOUS:
            raise OutcomeAmbiguous(operation=operation_id if operation.claim.caller == claim.caller else None)
        is_repetition = operation.claim.request_id == claim.request_id
        if match == "claimed" or (is_own and (is_repetition or operation.state is State.RECONCILING)):
            raise OutcomeUnknown(operation=operation_id)
        raise CreateInProgress(operation=operation_id if is_own else None)
