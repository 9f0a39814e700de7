"""Creates that happen exactly once: the claim, the send, the wait and the answer."""

from __future__ import annotations

import logging
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
    ModuleAlreadyExists,
    OutcomeAmbiguous,
    OutcomeUnknown,
)
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.operation import Claim, ClaimMatch, ClaimResult, Operation, Settlement, State
from gateway.domain.runtime import Event, Runtime
from gateway.provisioning import create
from gateway.provisioning.create import CreatedModule, IfExists
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.serialization import (
    draft_to_json,
    error_from_json,
    error_to_json,
    fingerprint,
    module_from_json,
    module_to_json,
)
from gateway.provisioning.verdict import LOOKUP_SCHEDULE
from gateway.provisioning.writing import pre_write_read

_log: Final = logging.getLogger("gateway.provisioning")
#: A sender is taken for dead so long after its last possible byte; seconds.
_LEASE_MARGIN: Final = 5.0
#: Without a key, the same caller, request id and request are the same create for so long; seconds.
DEDUP_SECONDS: Final = 600.0
#: How often somebody who waits for another process's create looks into the journal; seconds, doubling.
_POLL: Final = (0.02, 0.25)
#: The same, where only his own credential can ask the backend, and he asks it himself.
_LOOKS: Final = (0.3, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """One create, as a caller asked for it; the draft has been checked."""

    backend: Backend
    draft: ModuleDraft
    if_exists: IfExists = "error"
    caller: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class CreateResult:
    """A module that is there, the operation that made it, and whether an earlier request had asked for it."""

    creation: CreatedModule
    operation_id: str
    replayed: bool


@dataclass(slots=True)
class _Sending:
    """A create that this process has on the way."""

    done: Event
    result: CreatedModule | GatewayError | None = None  # None while on the way, and for ever where nobody knows


@dataclass(slots=True)
class Provisioner:
    """The machine; one in each process, all of them on one journal."""

    journal: Journal
    runtime: Runtime
    new_id: Callable[[], str]
    worker_id: str
    known_modules: KnownModules
    #: Searches for a lost create with the credential of a caller that waits for it; `Reconciler.reconcile_now`.
    reconcile_now: Callable[[Operation, CallContext], None]
    draining: bool = False
    _sending: dict[str, _Sending] = field(default_factory=dict)

    def create(self, order: CreateRequest, call: CallContext) -> CreateResult:
        """Create a module once, however often it is asked for; answer before the caller's deadline."""
        claim, claimed, sending = self._begin(order, call)
        if sending is not None:
            sending.done.wait(max(call.deadline - self.runtime.monotonic(), 0.0))
            if claimed.match == "claimed" and sending.result is not None:
                return _told(sending.result, claim.id)
        operation = self._follow(claimed.operation, call)
        answer = self._answer(operation, claimed.match, call.request_id)
        if claimed.match == "name":  # its own key and request id must lead to the shared answer next time
            self.journal.share_result(claim, operation, answer.creation.module.id)
        return answer

    def begin(self, order: CreateRequest, call: CallContext) -> ClaimResult:
        """Claim and send, or find the operation that has this create in hand; either way it is durable on return."""
        return self._begin(order, call)[1]

    def record_seen(self, modules: Iterable[Module]) -> None:
        """Record that these modules exist, before a caller learns of them."""
        self.known_modules.record(modules)

    def in_flight(self) -> int:
        """Count the creates that this process has on the way."""
        return len(self._sending)

    def _begin(self, order: CreateRequest, call: CallContext) -> tuple[Claim, ClaimResult, _Sending | None]:
        """Return our claim, what came of it, and the send that this process has on the way for it."""
        if self.draining:
            raise Draining
        claim = self._claim(order, call)
        claimed = self.journal.claim(claim)
        if claimed.match == "claimed":
            return claim, claimed, self._spawn(order, call, claim)
        if claimed.operation.claim.fingerprint != claim.fingerprint:
            raise IdempotencyKeyReused if claimed.match == "key" else CreateInProgress
        return claim, claimed, self._sending.get(claimed.operation.claim.id)

    def _claim(self, order: CreateRequest, call: CallContext) -> Claim:
        rules, draft, now = order.backend.capabilities, draft_to_json(order.draft), self.runtime.now()
        return Claim(
            id=self.new_id(),
            backend=order.backend.name,
            natural_key=order.backend.natural_key(order.draft),
            caller=order.caller,
            idempotency_key=order.idempotency_key,
            request_id=call.request_id,
            fingerprint=fingerprint(order.backend.name, draft, order.if_exists),
            draft={
                "draft": draft,
                "if_exists": order.if_exists,
                "probed": rules.probe_before_create,
                "acts_as": rules.acting_user and (call.user or rules.acting_user),
            },
            claimed_at=now,
            lease_until=now + rules.hard_timeout_seconds + _LEASE_MARGIN,
            dedup_until=None if order.idempotency_key else now + DEDUP_SECONDS,
            settle_seconds=rules.settle_seconds,
            worker_id=self.worker_id,
        )

    def _spawn(self, order: CreateRequest, call: CallContext, claim: Claim) -> _Sending:
        # The deadline stands from the claim on: a process that was frozen between here and the socket sends nothing.
        patience = order.backend.capabilities.hard_timeout_seconds
        deadline = self.runtime.monotonic() + patience
        upstream = call.for_create(claim.id, deadline)
        sending = self._sending[claim.id] = _Sending(self.runtime.event())

        def work() -> None:
            try:
                sending.result = self._send(order, upstream, claim)
            finally:
                call.upstream_seconds += upstream.upstream_seconds
                self._sending.pop(claim.id, None)
                sending.done.set()

        self.runtime.spawn(work)
        return sending

    def _send(self, order: CreateRequest, call: CallContext, claim: Claim) -> CreatedModule | GatewayError | None:
        """Send once and write down what came of it; return what is known for certain, None where nothing is."""
        try:
            made = self._create(order, call)
        except OutcomeUnknown as error:
            self._doubt(claim, error.code)
            return None
        except GatewayError as error:
            self._settle(claim, Settlement(state=State.REFUSED, at=self.runtime.now(), error=error_to_json(error)))
            return error
        except Exception:  # a bug: nobody knows how far it came
            _log.exception("a create failed unexpectedly", extra={"fields": {"operation": claim.id}})
            self._doubt(claim, "internal")
            return None
        self._settle(
            claim,
            Settlement(
                state=State.SUCCEEDED,
                at=self.runtime.now(),
                module=module_to_json(made.module, adopted=made.adopted),
                module_id=made.module.id,
            ),
        )
        return made

    def _create(self, order: CreateRequest, call: CallContext) -> CreatedModule:
        if order.backend.capabilities.probe_before_create and self._probe(order, call):
            return create.resolve_conflict(order.backend, order.draft, order.if_exists, call, ModuleAlreadyExists())
        return create.create(order.backend, order.draft, order.if_exists, call)

    @staticmethod
    def _probe(order: CreateRequest, call: CallContext) -> bool:
        """Look for the name; where that fails, nothing has been sent, and the answer must say so."""
        with pre_write_read():
            return bool(order.backend.find_by_natural_key(order.draft, call))

    def _settle(self, claim: Claim, settlement: Settlement) -> None:
        """Write the end down; where the journal cannot, the lease will run out and the end be found by looking."""
        try:
            self.journal.settle(claim.id, settlement)
        except JournalUnavailable:
            _log.warning("a result could not be written down", extra={"fields": {"operation": claim.id}})

    def _doubt(self, claim: Claim, what: str) -> None:
        now = self.runtime.now()
        try:
            self.journal.mark_unknown(
                claim.id, at=now, due_at=now + LOOKUP_SCHEDULE[0], evidence={"at": now, "what": what, "hits": None}
            )
        except JournalUnavailable:
            _log.warning("a doubt could not be written down", extra={"fields": {"operation": claim.id}})

    def _follow(self, operation: Operation, call: CallContext) -> Operation:
        """Wait in the journal until the operation has ended, whoever has it in hand, or the deadline has come."""
        pause, longest = _POLL if call.credential is None else _LOOKS
        while operation.state.is_active:
            left = call.deadline - self.runtime.monotonic()
            if left <= 0:
                break
            self.runtime.sleep(min(pause, left))
            pause = min(pause * 2, longest)
            with suppress(JournalUnavailable):  # it is claimed: from here on a failure to look proves nothing
                if call.credential is not None and operation.state is State.RECONCILING:
                    self.reconcile_now(operation, call)
                operation = self.journal.get(operation.claim.id) or operation
        return operation

    def _answer(self, operation: Operation, match: ClaimMatch, request_id: str) -> CreateResult:
        """Say what an operation's state means for who asked for it, or for the same thing at the same time.

        A proxy repeats a request under its id, and its caller knows of one only: that one is not told that it changed
        nothing while its first attempt is on the way.
        """
        operation_id, own = operation.claim.id, match != "name"
        if operation.state is State.SUCCEEDED and operation.module is not None:
            return CreateResult(
                CreatedModule(*module_from_json(operation.module)), operation_id, replayed=match != "claimed"
            )
        if operation.state is State.REFUSED and operation.error is not None:
            raise error_from_json(operation.error)
        if operation.state is State.NOT_APPLIED:
            raise BackendUnavailable("The create was looked for until it could not come any more: it was not applied.")
        if operation.state is State.AMBIGUOUS:
            raise OutcomeAmbiguous(operation=operation_id)
        repeated = operation.claim.request_id == request_id
        if match == "claimed" or (own and (repeated or operation.state is State.RECONCILING)):
            raise OutcomeUnknown(operation=operation_id)
        raise CreateInProgress(operation=operation_id if own else None)


def _told(result: CreatedModule | GatewayError, operation_id: str) -> CreateResult:
    if isinstance(result, GatewayError):
        raise result
    return CreateResult(result, operation_id, replayed=False)
