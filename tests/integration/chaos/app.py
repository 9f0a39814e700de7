"""The gateway with workers that can be killed or frozen at given points, and whose wall clock can be stepped.

`gunicorn tests.integration.chaos.app:app`
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gateway.app
from gateway.backends import discover
from gateway.domain.backend import Backend, CallContext
from gateway.domain.journal import Journal
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.operation import Claim, ClaimResult, Settlement
from gateway.journals import create_journal
from tests.integration.chaos.kill_points import VARIABLE, KillOrders

_folder = Path(os.environ[VARIABLE])
_orders = KillOrders(_folder)
_clock = _folder / "clock"


class KillingJournal:
    """Kills the worker before or after a call of the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._names: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def claim(self, claim: Claim) -> ClaimResult:
        name = claim.natural_key[-1]
        _orders.execute("before-claim", name)
        result = self._journal.claim(claim)
        if result.match == "claimed":
            self._names[claim.id] = name
            _orders.execute("after-claim", name)
        return result

    def settle(self, operation_id: str, settlement: Settlement) -> None:
        self._journal.settle(operation_id, settlement)
        _orders.execute("after-result-stored", self._names.pop(operation_id, ""))


class KillingBackend:
    """Kills the worker after a call of the backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        _orders.record_sender(draft.name)
        module = self._backend.create(draft, call)
        _orders.execute("after-reply-read", draft.name)
        return module

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        modules = self._backend.find_by_natural_key(draft, call)
        _orders.execute("mid-reconcile", draft.name)
        return modules


@dataclass(frozen=True)
class KillingBackendType:
    """Wraps the backends of a type in KillingBackend."""

    type: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.type, name)

    def create_backend(self, *args: Any) -> Any:
        return KillingBackend(self.type.create_backend(*args))


def _stepped_time() -> float:
    """Return the wall-clock time plus the seconds in the file `clock`, 0 without a file."""
    try:
        return time.time() + float(_clock.read_text())
    except FileNotFoundError:
        return time.time()


def _discover() -> dict[str, Any]:
    return {name: KillingBackendType(backend_type) for name, backend_type in discover().items()}


with (
    patch.object(gateway.app, "create_journal", lambda url: KillingJournal(create_journal(url))),
    patch.object(gateway.app, "discover", _discover),
    patch.object(gateway.app.SystemClock, "now", staticmethod(_stepped_time)),
):
    app = gateway.app.create_app(gateway.app.load_settings_or_exit(os.environ))
