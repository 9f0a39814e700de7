"""The gateway with workers that can be killed or frozen at given points, and whose wall clock can be stepped.

`gunicorn tests.integration.chaos.app:app`
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gateway.app
from gateway.backends import discover
from gateway.domain.backend import CallContext
from gateway.domain.module import Module, ModuleDraft
from gateway.domain.operation import Claim, ClaimResult, Settlement
from gateway.journals import create_journal
from tests.integration.chaos.kill_points import VARIABLE, KillOrders

_folder = Path(os.environ[VARIABLE])
_execute = KillOrders(_folder).execute


class Wrapper:
    """An object of which some methods are replaced."""

    def __init__(self, wrapped: object, **methods: Any) -> None:
        vars(self).update(methods, wrapped=wrapped)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["wrapped"], name)


def _create_journal(url: str) -> Any:
    """Create a journal with points before and after its calls."""
    journal = create_journal(url)
    names: dict[str, str] = {}

    def claim(request: Claim) -> ClaimResult:
        name = request.natural_key[-1]
        _execute("before-claim", name)
        result = journal.claim(request)
        if result.match == "claimed":
            names[request.id] = name
            _execute("after-claim", name)
        return result

    def settle(operation_id: str, settlement: Settlement) -> None:
        journal.settle(operation_id, settlement)
        _execute("after-result-stored", names.pop(operation_id, ""))

    return Wrapper(journal, claim=claim, settle=settle)


def _wrap_backend(backend: Any) -> Any:
    """Add points around the calls of a backend."""

    def create(draft: ModuleDraft, call: CallContext) -> Module:
        _execute("sending", draft.name)
        module: Module = backend.create(draft, call)
        _execute("after-reply-read", draft.name)
        return module

    def find_by_natural_key(draft: ModuleDraft, call: CallContext) -> tuple[Module, ...]:
        modules: tuple[Module, ...] = backend.find_by_natural_key(draft, call)
        _execute("mid-reconcile", draft.name)
        return modules

    return Wrapper(backend, create=create, find_by_natural_key=find_by_natural_key)


def _discover() -> dict[str, Any]:
    return {
        name: Wrapper(plugin, create_backend=lambda *args, plugin=plugin: _wrap_backend(plugin.create_backend(*args)))
        for name, plugin in discover().items()
    }


def _stepped_time() -> float:
    """Return the wall-clock time plus the seconds in the file `clock`, 0 without a file."""
    try:
        return time.time() + float((_folder / "clock").read_text())
    except FileNotFoundError:
        return time.time()


with (
    patch.multiple(gateway.app, create_journal=_create_journal, discover=_discover),
    patch.object(gateway.app.SystemClock, "now", staticmethod(_stepped_time)),
):
    app = gateway.app.create_app(gateway.app.load_settings_or_exit(os.environ))
