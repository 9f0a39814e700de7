"""The backends: one package each, found by its presence in this folder.

A package provides `OptionsSchema` and `create_backend`; its name is the `type` of a connection.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from gateway.domain.backend import NO_SERVICES, Backend, BackendServices
from gateway.domain.runtime import Clock
from gateway.settings import SettingsSchema


class BackendPlugin(Protocol):
    """What the package of a backend provides."""

    @property
    def OptionsSchema(self) -> type[SettingsSchema]:  # noqa: N802 - the name of a class in the package
        """The schema of a connection's table in the configuration file; it loads into the options."""
        ...

    def create_backend(self, name: str, options: Any, clock: Clock, services: BackendServices = NO_SERVICES) -> Backend:
        """Create a connection; nothing is sent yet."""
        ...


def discover() -> Mapping[str, BackendPlugin]:
    """Import all backends, and return them by type."""
    names = (module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return {name: cast("BackendPlugin", import_module(f"{__name__}.{name}")) for name in sorted(names)}
