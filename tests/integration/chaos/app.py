"""The real service, with workers that die where it is ordered: `gunicorn tests.integration.chaos.app:app`."""

from __future__ import annotations

import os
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
from tests.integration.chaos.points import VARIABLE, Orders

_orders = Orders(Path(os.environ[VARIABLE]))


class DeadlyJournal:
    """A journal around which workers die."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._names: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def claim(self, claim: Claim) -> ClaimResult:
        name = claim.natural_key[-1]
        _orders.obey("before-claim", name)
        claimed = self._journal.claim(claim)
        if claimed.match == "claimed":
            self._names[claim.id] = name
            _orders.obey("after-claim", name)
        return claimed

    def settle(self, operation_id: str, settlement: Settlement) -> None:
        self._journal.settle(operation_id, settlement)
        _orders.obey("after-result-stored", self._names.pop(operation_id, ""))


class DeadlyBackend:
    """A backend around which workers die."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        _orders.show(draft.name)
        module = self._backend.create(draft, call)
        _orders.obey("after-reply-read", draft.name)
        return module

    def find_by_natural_key(self, draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        found = self._backend.find_by_natural_key(draft, call)
        _orders.obey("mid-reconcile", draft.name)
        return found


@dataclass(frozen=True)
class DeadlyType:
    """A type of backend that connects to the above."""

    type: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.type, name)

    def create_backend(self, *args: Any) -> Any:
        return DeadlyBackend(self.type.create_backend(*args))


def _discover_deadly() -> dict[str, Any]:
    return {name: DeadlyType(type_) for name, type_ in discover().items()}


with (
    patch.object(gateway.app, "create_journal", lambda url: DeadlyJournal(create_journal(url))),
    patch.object(gateway.app, "discover", _discover_deadly),
):
    app = gateway.app.create_app(gateway.app.load_settings_or_exit(os.environ))
