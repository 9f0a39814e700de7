"""The backends: one folder each, found by being there.

A folder here is a package that offers `parse_options(table) -> options` and
`connect(name, options, clock, surroundings) -> Backend`; its name is the `type` of a connection. Nothing else
needs to know it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from gateway.domain.backend import NO_SERVICES, Backend, BackendServices
from gateway.domain.runtime import Clock
from gateway.settings import Table


class BackendPlugin(Protocol):
    """What a backend's package offers."""

    def parse_options(self, table: Table) -> Any:
        """Read a connection's settings; mistakes are noted in the table."""
        ...

    def create_backend(self, name: str, options: Any, clock: Clock, services: BackendServices = NO_SERVICES) -> Backend:
        """Make a connection; nothing is sent yet."""
        ...


def discover() -> Mapping[str, BackendPlugin]:
    """Import every backend there is, by its type."""
    found = (module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return {name: cast("BackendPlugin", import_module(f"{__name__}.{name}")) for name in sorted(found)}
