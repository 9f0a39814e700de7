"""The backends: one folder each, found by being there.

A folder here is a package that offers `read_options(table) -> options` and
`connect(name, options, clock, surroundings) -> Backend`; its name is the `type` of a connection. Nothing else
needs to know it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from gateway.domain.ports import ALONE, Backend, Clock, Surroundings
from gateway.settings import Table


class BackendType(Protocol):
    """What a backend's package offers."""

    def read_options(self, table: Table) -> Any:
        """Read a connection's settings; mistakes are noted in the table."""
        ...

    def connect(self, name: str, options: Any, clock: Clock, surroundings: Surroundings = ALONE) -> Backend:
        """Make a connection; nothing is sent yet."""
        ...


def discover() -> Mapping[str, BackendType]:
    """Import every backend there is, by its type."""
    found = (module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return {name: cast("BackendType", import_module(f"{__name__}.{name}")) for name in sorted(found)}
