"""Retries idempotent reads after transient failures.

Writes are never retried, nor is a read that an adapter makes as a part of a write (a delete in CMDB reads the module
first): only the read methods of the port are retried.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, TypeVar

from gateway.domain.backend import Backend, CallContext, ConnectionState
from gateway.domain.capabilities import ConnectionMode
from gateway.domain.errors import BackendTimeout, BackendUnavailable, GatewayError, RateLimited
from gateway.domain.lookup import LookupPage, LookupQuery
from gateway.domain.module import Module, ModuleDraft, ModulePatch, ModuleQuery, Page
from gateway.domain.runtime import Clock

_Result = TypeVar("_Result")
#: Not CircuitOpen, Overloaded or Draining: retries would add load to what is overloaded already.
_TRANSIENT_ERRORS: Final = (BackendUnavailable, BackendTimeout, RateLimited)
_MAX_RETRIES: Final = 2
#: Maximum random delay before the first retry, in seconds; doubled before the second.
_RETRY_DELAY: Final = 0.1
#: The tokens that one retry costs; each read deposits one token.
_RETRY_COST: Final = 10
#: The maximum and the initial balance, in tokens.
_FULL_BUDGET: Final = 10 * _RETRY_COST


class RetryBudget:
    """Limits retries to one for ten reads in the long run, so that they add little load to a failing backend.

    Without a lock: a race between threads loses one token at most.
    """

    def __init__(self) -> None:
        self._tokens = _FULL_BUDGET

    def deposit(self) -> None:
        """Add one token for a read."""
        if self._tokens < _FULL_BUDGET:
            self._tokens += 1

    def try_spend(self) -> bool:
        """Spend the cost of a retry; return False if the balance is too low."""
        if self._tokens < _RETRY_COST:
            return False
        self._tokens -= _RETRY_COST
        return True


class RetryingBackend:
    """A backend whose reads are retried at most twice, and whose modules are recorded; wraps another Backend."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        *,
        record_seen: Callable[[Iterable[Module]], None] = lambda _modules: None,
        random: Callable[[], float] = random.random,
        mode: ConnectionMode = "read_write",
        read_only_retry_after: float = 60.0,
    ) -> None:
        """`record_seen` is called with the modules of each read before it returns; `random` returns 0 up to 1.

        The last two are settings of the connection that its adapter does not know; they become capabilities.
        """
        self.name: Final = backend.name
        # These methods are not retried.
        self.scope_of: Final = backend.scope_of
        self.natural_key: Final = backend.natural_key
        self.create: Final = backend.create
        self.descendants: Final = backend.descendants
        self.delete: Final = backend.delete
        self.capabilities: Final = replace(backend.capabilities, mode=mode, read_only_retry_after=read_only_retry_after)
        self._backend: Final = backend
        self._clock: Final = clock
        self._record_seen: Final = record_seen
        self._random: Final = random
        self._budget: Final = RetryBudget()

    @property
    def state(self) -> ConnectionState:
        """Return the connection state of the wrapped backend."""
        return self._backend.state

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Find modules by natural key, with retries."""
        modules = self._retry(lambda: self._backend.find_by_natural_key(draft, call), call)
        self._record_seen(modules)
        return modules

    def update(
        self, ref: str, patch: ModulePatch, call: CallContext, check: Callable[[Module], None] | None = None
    ) -> Module:
        """Change a module, without retries, and record it."""
        module = self._backend.update(ref, patch, call, check)
        self._record_seen((module,))
        return module

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        """Check the target of a create, with retries."""
        self._retry(lambda: self._backend.check_target(draft, call), call)

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """Return a page of modules, with retries."""
        page = self._retry(lambda: self._backend.list(query, page_size, cursor, call), call)
        self._record_seen(page.modules)
        return page

    def get(self, ref: str, call: CallContext) -> Module:
        """Return a module, with retries."""
        module = self._retry(lambda: self._backend.get(ref, call), call)
        self._record_seen((module,))
        return module

    def lookup(self, query: LookupQuery, page_size: int, cursor: str | None, call: CallContext) -> LookupPage:
        """Return a page of scopes, parents or owners, with retries; record the modules that it was read from."""
        page = self._retry(lambda: self._backend.lookup(query, page_size, cursor, call), call)
        self._record_seen(page.modules)
        return page

    def _retry(self, read: Callable[[], _Result], call: CallContext) -> _Result:
        """Return the result of `read`; retry it after transient failures within the deadline and the budget."""
        self._budget.deposit()
        for attempt in range(_MAX_RETRIES):
            try:
                return read()
            except _TRANSIENT_ERRORS as error:
                delay = self._retry_delay(error, attempt)
                max_delay = (call.deadline - self._clock.monotonic()) / 2.0  # the other half is left for the retry
                if delay > max_delay or not self._budget.try_spend():
                    raise
                self._clock.sleep(delay)
        return read()  # the last attempt: its error is final

    def _retry_delay(self, error: GatewayError, attempt: int) -> float:
        """Return the delay before a retry in seconds: the backend's Retry-After plus a random part."""
        return (error.context.retry_after or 0.0) + self._random() * _RETRY_DELAY * 2.0**attempt
