"""The backends: one package each, discovered at start.

A package in this folder is a BackendPlugin; its name is the `type` of a connection in the configuration.
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
    """What a backend's package defines."""

    def parse_options(self, table: Table) -> Any:
        """Read a connection's settings; errors are added to the table."""
        ...

    def create_backend(self, name: str, options: Any, clock: Clock, services: BackendServices = NO_SERVICES) -> Backend:
        """Create a connection; nothing is sent yet."""
        ...


def discover() -> Mapping[str, BackendPlugin]:
    """Import every backend and return them by type."""
    names = (module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return {name: cast("BackendPlugin", import_module(f"{__name__}.{name}")) for name in sorted(names)}
