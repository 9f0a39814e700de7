"""Creates that happen exactly once: the claim, the wait for the result, and the answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
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
from gateway.domain.operation import Claim, ClaimResult, Operation, State
from gateway.domain.runtime import Event, Runtime
from gateway.provisioning.create import CreatedModule, CreateRequest, probe, send
from gateway.provisioning.known_modules import BackendClocks, KnownModules
from gateway.provisioning.serialization import draft_to_json, error_from_json, fingerprint, module_from_json, refused
from gateway.provisioning.verdict import is_window_over

#: How long after the end of its hard timeout a send counts as abandoned; seconds.
_LEASE_MARGIN: Final = 5.0
#: How long the same caller, request id and request are the same create if there is no idempotency key; seconds.
DEDUP_SECONDS: Final = 600.0
#: How often the journal is read while another process sends the create: first and longest interval, doubling; seconds.
_POLL_INTERVALS: Final = (0.02, 0.25)
#: The pauses before each attempt to withdraw a claim whose commit failed; seconds.
_WITHDRAWAL_DELAYS: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
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
    backend_clocks: BackendClocks
    #: Looks up an unsettled create with the credential of a caller that waits for it.
    reconcile_now: Callable[[Operation, CallContext], None] = lambda _operation, _call: None
    draining: bool = False
    _in_flight: dict[str, _InFlightCreate] = field(default_factory=dict)

    def create(self, backend: Backend, request: CreateRequest, call: CallContext) -> CreateResult:
        """Create a module once, however often it is requested; return or raise before the caller's deadline."""
        result, in_flight = self._claim_or_join(backend, request, call)
        operation, is_own = result.operation, result.match == "claimed"
        if in_flight is not None:
            in_flight.done.wait(max(call.deadline - self.runtime.monotonic(), 0.0))
            if is_own and in_flight.result is not None:
                if isinstance(in_flight.result, GatewayError):
                    raise in_flight.result
                return CreateResult(in_flight.result, operation.claim.id, replayed=False)
        operation = self._wait_until_ended(operation, call, may_look_up=lambda _operation: True)
        return CreateResult(_result_or_raise(operation), operation.claim.id, replayed=not is_own)

    def start(self, backend: Backend, request: CreateRequest, call: CallContext) -> ClaimResult:
        """Claim and start a create, or find the requester's operation of the same create; it is durable on return."""
        return self._claim_or_join(backend, request, call)[0]

    def in_flight(self) -> int:
        """Return the number of creates that this process is sending."""
        return len(self._in_flight)

    def _claim_or_join(
        self, backend: Backend, request: CreateRequest, call: CallContext
    ) -> tuple[ClaimResult, _InFlightCreate | None]:
        """Claim the create and start to send it, or join the requester's own operation of the same create.

        Returns the result of the claim, and the send if this process makes it. While another requester's operation
        has the natural key, this create waits and is then claimed as if it had come later.
        """
        while True:
            if self.draining:
                raise Draining
            # The deadline counts from before the claim: a process that was suspended since then sends nothing.
            send_deadline = self.runtime.monotonic() + backend.capabilities.hard_timeout_seconds
            if backend.capabilities.mode == "read_only":
                return self._join_only(backend, self._new_claim(backend, request, call))
            existing = probe(backend, request, call)
            claim = self._new_claim(backend, request, call)
            result = self._claim(claim, call.deadline)
            operation = result.operation
            if result.match == "claimed":
                self._refuse_if_late(claim, min(call.deadline, send_deadline))
                create_call = call.for_create(claim.id, send_deadline)
                return result, self._start_send(backend, request, create_call, call, existing)
            if _is_same_create(claim, result):
                return self._join(claim, result)
            _refuse_other_content(claim, result, call)
            operation = self._wait_until_ended(operation, call, may_look_up=_is_window_over)
            if operation.state.is_active:
                raise CreateInProgress

    def _join_only(self, backend: Backend, claim: Claim) -> tuple[ClaimResult, _InFlightCreate | None]:
        """Join the requester's own operation of the same create, without a claim; raises BackendReadOnly."""
        result = self.journal.find_conflict(claim)
        if result is not None and _is_same_create(claim, result):
            return self._join(claim, result)
        if result is not None and result.match == "key":
            raise IdempotencyKeyReused
        raise backend.capabilities.read_only_error()

    def _join(self, claim: Claim, result: ClaimResult) -> tuple[ClaimResult, _InFlightCreate | None]:
        """Return the operation that a claim found, and its send if this process makes it."""
        operation_id = result.operation.claim.id
        if result.match == "name":  # from now on, the key or request id of this request replays the result
            self.journal.add_alias(claim, operation_id)
        return result, self._in_flight.get(operation_id)

    def _claim(self, claim: Claim, deadline: float) -> ClaimResult:
        """Claim; if the journal fails, the claim may be committed all the same, and is withdrawn in the background."""
        self.known_modules.flush()
        try:
            return self.journal.claim(claim, max(deadline - self.runtime.monotonic(), 0.0))
        except JournalUnavailable:
            self.runtime.spawn(lambda: self._withdraw(claim))
            raise

    def _refuse_if_late(self, claim: Claim, deadline: float) -> None:
        """Raise JournalUnavailable if a claim was committed after a deadline; nothing is sent then."""
        if self.runtime.monotonic() >= deadline:
            self.runtime.spawn(lambda: self._withdraw(claim))
            raise JournalUnavailable(message("claim_too_late"))

    def _withdraw(self, claim: Claim) -> None:
        """Settle a claim of which nothing was sent, as soon as the journal has it and can be written."""
        error = JournalUnavailable(message("claim_too_late"))
        for delay in _WITHDRAWAL_DELAYS:
            self.runtime.sleep(delay)
            with suppress(JournalUnavailable):
                if self.journal.get(claim.id) is not None:
                    self.journal.settle(claim.id, refused(error, at=self.runtime.now()))
                    break

    def _new_claim(self, backend: Backend, request: CreateRequest, call: CallContext) -> Claim:
        draft, capabilities, now = draft_to_json(request.draft), backend.capabilities, self.runtime.now()
        return Claim(
            id=self.new_id(),
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
                "credential": call.credential and sha256(call.credential.encode()).hexdigest(),
                "backend_time": self.backend_clocks.now(backend.name),
                "user": call.user,
            },
            dedup_until=None if request.idempotency_key else now + DEDUP_SECONDS,
            claimed_at=now,
            lease_until=now + capabilities.hard_timeout_seconds + _LEASE_MARGIN,
            settle_seconds=capabilities.settle_seconds,
            worker_id=self.worker_id,
        )

    def _start_send(
        self,
        backend: Backend,
        request: CreateRequest,
        create_call: CallContext,
        call: CallContext,
        existing: Module | None,
    ) -> _InFlightCreate:
        operation_id = str(create_call.operation_id)
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
                        clocks=self.backend_clocks,
                        existing=existing,
                    )
            finally:
                call.upstream_seconds += create_call.upstream_seconds
                self._in_flight.pop(operation_id, None)
                in_flight.done.set()

        self.runtime.spawn(work)
        return in_flight

    def _wait_until_ended(
        self, operation: Operation, call: CallContext, *, may_look_up: Callable[[Operation], bool]
    ) -> Operation:
        """Poll the journal until the operation has ended or the deadline is reached; return its last known state.

        If only a caller's own credential can look it up, this one does.
        """
        interval, max_interval = _POLL_INTERVALS if call.credential is None else _LOOKUP_INTERVALS
        while operation.state.is_active:
            remaining = call.deadline - self.runtime.monotonic()
            if remaining <= 0:
                break
            self.runtime.sleep(min(interval, remaining))
            interval = min(interval * 2, max_interval)
            with suppress(JournalUnavailable):  # the claim is durable: a read that fails does not change the outcome
                if call.credential is not None and operation.state is State.RECONCILING and may_look_up(operation):
                    self.reconcile_now(operation, call)
                operation = self.journal.get(operation.claim.id) or operation
        return operation


def _is_same_create(claim: Claim, result: ClaimResult) -> bool:
    """Return whether a claim conflicts with the same create of the same requester."""
    other = result.operation.claim
    is_own = result.match in {"key", "memory"} or other.requester == claim.requester
    return is_own and other.fingerprint == claim.fingerprint


def _refuse_other_content(claim: Claim, result: ClaimResult, call: CallContext) -> None:
    """Raise if a claim conflicts with a create of other content, for which it need not wait.

    It waits for one that only a caller's credential can look up and whose settle window is over. The caller of that
    one may not return, so the next caller settles it.
    """
    if result.operation.claim.fingerprint == claim.fingerprint:
        return
    if result.match == "key":
        raise IdempotencyKeyReused
    if call.credential is None or not _is_window_over(result.operation):
        raise CreateInProgress


def _is_window_over(operation: Operation) -> bool:
    return is_window_over(operation, operation.observed_seconds)


def _result_or_raise(operation: Operation) -> CreatedModule:
    """Return the module of the requester's own operation, or raise the error that its state means."""
    if operation.state is State.SUCCEEDED and operation.module is not None:
        return CreatedModule(*module_from_json(operation.module))
    if operation.state is State.REFUSED and operation.error is not None:
        raise error_from_json(operation.error)
    if operation.state is State.NOT_APPLIED:
        raise BackendUnavailable(message("create_not_applied"))
    raise (OutcomeAmbiguous if operation.state is State.AMBIGUOUS else OutcomeUnknown)(operation=operation.claim.id)
