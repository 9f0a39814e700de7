"""The gateway with workers that can be killed or frozen at given points, and whose wall clock can be stepped.

`gunicorn tests.integration.chaos.app:app`
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import gateway.app
from gateway.backends import BackendPlugin, discover
from gateway.journals import create_journal
from tests.integration.chaos.kill_points import VARIABLE, KillOrders

_folder = Path(os.environ[VARIABLE])
_execute = KillOrders(_folder).execute


class WithPoints:
    """An object of which some methods execute the orders of a point before the call, and of another point after it.

    A method is given as both points and a function that returns, for the first argument, the name of a create or the
    id of a module.
    """

    def __init__(self, wrapped: object, **methods: tuple[str, str, Callable[[Any], str]]) -> None:
        self._wrapped = wrapped
        for method, points in methods.items():
            setattr(self, method, partial(_call, getattr(wrapped, method), *points))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


def _call(
    method: Callable[..., Any], before: str, after: str, name_of: Callable[[Any], str], *args: Any, **values: Any
) -> Any:
    _execute(before, name_of(args[0]))
    result = method(*args, **values)
    _execute(after, name_of(args[0]))
    return result


def _create_journal(*args: Any) -> Any:
    names: dict[str, str] = {}  # by operation or change
    journal = create_journal(*args)
    return WithPoints(
        journal,
        claim=("before-claim", "after-claim", lambda claim: names.setdefault(claim.id, claim.natural_key[-1])),
        settle=("before-settle", "after-result-stored", lambda operation_id: names.get(operation_id, "")),
        begin_change=("before-hold", "after-hold", lambda change: names.setdefault(change.id, change.module_id)),
        end_change=("before-end", "after-end", lambda change_id: names.get(change_id, "")),
    )


def _create_backend(plugin: BackendPlugin, *args: Any) -> Any:
    return WithPoints(
        plugin.create_backend(*args),
        create=("sending", "after-reply-read", attrgetter("name")),
        find_by_natural_key=("before-lookup", "mid-reconcile", attrgetter("name")),
    )


def _discover() -> dict[str, Any]:
    return {
        name: SimpleNamespace(OptionsSchema=plugin.OptionsSchema, create_backend=partial(_create_backend, plugin))
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
