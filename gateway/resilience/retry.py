"""Repeats reads that failed in a way that may pass, and nothing else.

A write is never repeated here. Nor is a read that an adapter makes on its way to a write (deleting in CMDB looks for
the module first): what is repeated are the port's own reads, and those are the calls whose repetition changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeVar

from gateway.domain.backend import Backend, CallContext, ConnectionState
from gateway.domain.errors import BackendTimeout, BackendUnavailable, GatewayError, RateLimited
from gateway.domain.module import Module, ModuleDraft, ModuleQuery, Page
from gateway.domain.runtime import Clock

_T = TypeVar("_T")
#: What may pass. Not CircuitOpen, Overloaded or Draining: those ask everybody to stay away for a while.
_PASSING: Final = (BackendUnavailable, BackendTimeout, RateLimited)
_REPEATS: Final = 2
#: The first pause is a random part of this, the second of twice as much; seconds.
_PAUSE: Final = 0.1
#: A read earns a tenth of a repeat, so many tenths are held at most, and at first.
_PRICE: Final = 10
_HELD: Final = 10 * _PRICE


class RetryBudget:
    """How many repeats are left: in the long run one for ten reads, so that a failing backend is not hit harder.

    Without a lock: what threads may lose here, now and then, is a tenth of a repeat.
    """

    def __init__(self) -> None:
        self._tenths = _HELD

    def earn(self) -> None:
        """Count a read."""
        if self._tenths < _HELD:
            self._tenths += 1

    def spend(self) -> bool:
        """Pay for a repeat; tell whether there was enough."""
        if self._tenths < _PRICE:
            return False
        self._tenths -= _PRICE
        return True


class RetryingBackend:
    """A backend whose reads are repeated, at most twice; implements Backend around another one."""

    def __init__(self, backend: Backend, clock: Clock, *, random: Callable[[], float] = random.random) -> None:
        """`random` returns numbers from 0 up to 1."""
        self.name: Final = backend.name
        # These are the backend's own methods: nothing stands between.
        self.scope_of: Final = backend.scope_of
        self.natural_key: Final = backend.natural_key
        self.create: Final = backend.create
        self.update: Final = backend.update
        self.delete: Final = backend.delete
        self.capabilities: Final = backend.capabilities
        self._backend: Final = backend
        self._clock: Final = clock
        self._random: Final = random
        self._budget: Final = RetryBudget()

    @property
    def state(self) -> ConnectionState:
        """Return what the last exchange showed."""
        return self._backend.state

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        """Look for the name, patiently."""
        return self._read(lambda: self._backend.find_by_natural_key(draft, call), call)

    def check_target(self, draft: ModuleDraft, call: CallContext) -> None:
        """Look at the place, patiently."""
        self._read(lambda: self._backend.check_target(draft, call), call)

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """Read a page, patiently."""
        return self._read(lambda: self._backend.list(query, page_size, cursor, call), call)

    def get(self, ref: str, call: CallContext) -> Module:
        """Read a module, patiently."""
        return self._read(lambda: self._backend.get(ref, call), call)

    def _read(self, ask: Callable[[], _T], call: CallContext) -> _T:
        self._budget.earn()
        for repeat in range(_REPEATS):
            try:
                return ask()
            except _PASSING as error:
                pause = self._pause(error, repeat)
                # Nobody waits longer than is then left to ask again; who cannot wait so long is answered now.
                if pause > (call.deadline - self._clock.monotonic()) / 2.0 or not self._budget.spend():
                    raise
                self._clock.sleep(pause)
        return ask()

    def _pause(self, error: GatewayError, repeat: int) -> float:
        """Draw a pause; not before the time that the backend asks for, and not everybody at that very moment."""
        return (error.context.retry_after or 0.0) + self._random() * _PAUSE * 2.0**repeat
