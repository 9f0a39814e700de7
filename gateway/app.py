"""The composition root: the only module that knows every layer."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Mapping

from gateway.api import Gateway, Service, build_api
from gateway.backends import discover
from gateway.settings import ConfigurationError, Settings, load_document, read_settings
from gateway.telemetry import logs


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def load_settings(environ: Mapping[str, str], path: str | None = None) -> Settings:
    """Read the file that GATEWAY_CONFIG names; raises ConfigurationError with every mistake at once."""
    where = path or environ.get("GATEWAY_CONFIG")
    if not where:
        raise ConfigurationError(["GATEWAY_CONFIG: must name the configuration file"])
    types = discover()
    return read_settings(load_document(where), environ, {name: type_.read_options for name, type_ in types.items()})


def create_app(settings: Settings) -> Service:
    """Put the service together; nothing is sent anywhere yet."""
    logs.configure()
    types, clock = discover(), SystemClock()
    backends = {
        connection.name: types[connection.type].connect(connection.name, connection.options, clock)
        for connection in settings.backends
    }
    return build_api(
        Gateway(
            backends=backends,
            clock=clock,
            new_id=lambda: uuid.uuid4().hex,
            deadline_seconds=settings.deadline_seconds,
        )
    )


def load_settings_or_exit(environ: Mapping[str, str]) -> Settings:
    """Read the configuration for a server: where it is wrong, say so line by line and end the process for good.

    3 is the exit status at which gunicorn stops instead of starting the worker again.
    """
    try:
        return load_settings(environ)
    except ConfigurationError as error:
        for line in error.mistakes:
            print(f"configuration: {line}", file=sys.stderr)
        sys.exit(3)
