"""A connection of each backend type, created from a configuration; nothing listens at their addresses."""

from __future__ import annotations

from typing import Final

from gateway.backends import discover
from gateway.domain.backend import Backend
from gateway.domain.capabilities import Capabilities
from gateway.settings import parse_settings
from tests.conftest import VirtualClock

PROJECT: Final = "0792b7d26cb74bd799cbae80063dc74a"
_DOCUMENT: Final = {
    "backends": {
        "cmdb": {
            "type": "cmdb",
            "base_url": "http://127.0.0.1:9",
            "app_code": "gateway",
            "app_secret": "env:SECRET",
            "username": "admin",
            "attributes": ["remark"],
        },
        "projectman": {
            "type": "projectman",
            "base_url": "http://127.0.0.1:9",
            "access_key": "AK",
            "secret_key": "env:SECRET",
        },
    }
}


def create_backends(clock: VirtualClock) -> dict[str, Backend]:
    """Return the real adapters by connection name."""
    types = discover()
    settings = parse_settings(
        _DOCUMENT, {"SECRET": "canary-secret"}, {name: plugin.OptionsSchema for name, plugin in types.items()}
    )
    return {
        config.name: types[config.type].create_backend(config.name, config.options, clock)
        for config in settings.backends
    }


def capabilities(name: str) -> Capabilities:
    """Return the capabilities of the real adapter."""
    return create_backends(VirtualClock())[name].capabilities
