"""What SIGHUP runs before a reload: prints each error, or stores the configuration for the new workers."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

from gunicorn.config import Config

from gateway.app import load_settings, start_extensions, store_settings
from gateway.server.hooks import start_error
from gateway.settings import ConfigurationError
from gateway.telemetry.shared_memory import SharedMemory


def check_reload(arguments: dict[str, Any]) -> list[str]:
    """Return every error; without one, the configuration is stored."""
    errors = _check_gunicorn_file(arguments["gunicorn_file"])
    try:
        settings = load_settings(os.environ)
    except ConfigurationError as error:
        return [*errors, *error.errors]
    addresses = [tuple(address) if isinstance(address, list) else address for address in arguments["addresses"]]
    if error_text := start_error(start_extensions(settings), arguments["workers"], addresses):
        errors.append(error_text)
    if not errors:
        store_settings(SharedMemory(arguments["descriptor"]), settings)
    return errors


def _check_gunicorn_file(path: str) -> list[str]:
    """Return the error in gunicorn's own configuration file, if there is one: gunicorn would end the server."""
    if not Path(path).is_file():
        return []
    config = Config()
    name = path
    try:
        for name, value in runpy.run_path(path).items():
            if name in config.settings:
                config.set(name, value)
    except (Exception, SystemExit) as error:
        return [f"{path}: {name}: {type(error).__name__}: {error}"]
    return []


if __name__ == "__main__":
    found = check_reload(json.loads(sys.argv[1]))
    sys.stdout.writelines(f"{line}\n" for line in found)
    sys.exit(1 if found else 0)
