"""Many creates in one request: each one an ordinary create, a few at a time, children after their parents."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import Draining, GatewayError, Internal, OutcomeUnknown, RateLimited
from gateway.domain.runtime import Event, Runtime
from gateway.provisioning.create import CreateRequest
from gateway.provisioning.provisioner import CreateResult

_log: Final = logging.getLogger("gateway.provisioning")
#: How many items of a batch are sent at a time to one connection.
_CONCURRENT_ITEMS: Final = 8
#: How long before the deadline of the batch its items end; seconds. In it the answer is put together.
_ANSWER_MARGIN: Final = 0.1

#: Why an item was not started.
NotStarted = Literal["deadline", "draining", "parent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """One create; with `parent_ref` its parent is the module of another item."""

    ref: str
    backend: Backend
    request: CreateRequest
    call: CallContext
    parent_ref: str | None = None


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of an item: a result, an error, or the reason why it was not started."""

    value: Any = None
    error: GatewayError | None = None
    not_started: NotStarted | None = None


@dataclass(slots=True)
class Batch:
    """The run of one batch."""

    runtime: Runtime
    items: Sequence[BatchItem]  # parents before children
    work: Callable[[BatchItem], Any]  # creates one item, whose parent is known
    pace: Callable[
        [], float
    ]  # counts an item towards the caller's rate; returns how long to wait before it may be sent
    deadline: float  # on Clock.monotonic()
    _results: dict[str, ItemResult] = field(default_factory=dict)
    _done: dict[str, Event] = field(default_factory=dict)
    _paced: bool = False

    def run(self) -> Mapping[str, ItemResult]:
        """Return the result of each item by its ref, before the deadline."""
        self._done = {item.ref: self.runtime.event() for item in self.items}
        queues: dict[str, deque[BatchItem]] = {}
        for item in self.items:
            queues.setdefault(item.backend.name, deque()).append(item)
        for queue in queues.values():
            for _ in range(min(len(queue), _CONCURRENT_ITEMS)):
                self.runtime.spawn(lambda queue=queue: self._work_off(queue))  # type: ignore[misc]
        for ref, done in self._done.items():
            if not done.wait(max(self.deadline - self.runtime.monotonic(), 0.0)):
                self._results.setdefault(ref, ItemResult(error=OutcomeUnknown()))
        return dict(self._results)

    def _work_off(self, queue: deque[BatchItem]) -> None:
        while queue:
            item = queue.popleft()
            try:
                result = self._run_item(item)
            except Exception:
                _log.exception("an item failed unexpectedly", extra={"fields": {"request_id": item.call.request_id}})
                result = ItemResult(error=Internal())
            self._results.setdefault(item.ref, result)
            self._done[item.ref].set()

    def _run_item(self, item: BatchItem) -> ItemResult:
        deadline = self.deadline - _ANSWER_MARGIN
        if item.parent_ref is not None:  # taken from the queue before this item, so that the wait ends
            self._done[item.parent_ref].wait(max(deadline - self.runtime.monotonic(), 0.0))
            parent = self._results.get(item.parent_ref, ItemResult()).value
            if not isinstance(parent, CreateResult):
                return ItemResult(not_started="parent")
            draft = replace(item.request.draft, parent=parent.created.module.native_id)
            item = replace(item, request=replace(item.request, draft=draft))
        item = replace(item, call=replace(item.call, deadline=deadline))
        return self._send(item, deadline) if self._take_turn(deadline) else ItemResult(not_started="deadline")

    def _send(self, item: BatchItem, deadline: float) -> ItemResult:
        seconds = 0.0
        while self._sleep(seconds, deadline):
            try:
                return ItemResult(self.work(item))
            except RateLimited as error:  # of the backend; nothing was sent
                seconds = error.context.retry_after or 1.0
                if self.runtime.monotonic() + seconds >= deadline:
                    return ItemResult(error=error)
            except Draining:
                return ItemResult(not_started="draining")
            except GatewayError as error:
                return ItemResult(error=error)
        return ItemResult(not_started="deadline")

    def _take_turn(self, deadline: float) -> bool:
        """Count the item towards the caller's rate, and wait until it may be sent; False if that is too late."""
        if not self._paced:  # the request itself has been counted
            self._paced = True
            return True
        while (seconds := self.pace()) > 0:
            if not self._sleep(seconds, deadline):
                return False
        return True

    def _sleep(self, seconds: float, deadline: float) -> bool:
        """Sleep and return True, or return False at once if there is no time left afterwards."""
        if self.runtime.monotonic() + seconds >= deadline:
            return False
        if seconds > 0:
            self.runtime.sleep(seconds)
        return True
