"""The gateway with a bug that exposes secrets: `gunicorn tests.integration.secret_leaks.app:app`.

For modules whose name begins with `explode` the adapter raises an exception with the secrets in its message, and so do
a thread, a warning and a write to stderr.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from flask import has_request_context, request

import gateway.app
from gateway.backends import BackendPlugin, discover
from gateway.telemetry.redaction import collect_secrets


class LeakingBackend:
    """A backend that exposes its secrets in errors of creates and lists."""

    def __init__(self, backend: Any, options: Any) -> None:
        self._backend = backend
        self._secrets = tuple(collect_secrets(options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def create(self, draft: Any, call: Any) -> Any:
        self._leak_for(draft.name, call)
        return self._backend.create(draft, call)

    def list(self, query: Any, page_size: int, cursor: str | None, call: Any) -> Any:
        self._leak_for(query.name or "", call)
        return self._backend.list(query, page_size, cursor, call)

    def _leak_for(self, name: str, call: Any) -> None:
        if not name.startswith("explode"):
            return
        token = getattr(getattr(getattr(self._backend, "_client", None), "credentials", None), "_held", None)
        message = f"credentials {self._secrets} and {call.credential} and {token}; {call!r}"
        if has_request_context():
            message += f"\n{request.headers}"
        thread = threading.Thread(target=_fail, args=(message,))
        thread.start()
        thread.join()
        warnings.warn(message, stacklevel=1)
        sys.stderr.write(f"{message}\n")
        _fail(message)


def _fail(message: str) -> None:
    raise RuntimeError(message)


def _leaking(plugin: BackendPlugin) -> SimpleNamespace:
    def create_backend(name: str, options: Any, *services: Any) -> LeakingBackend:
        return LeakingBackend(plugin.create_backend(name, options, *services), options)

    return SimpleNamespace(OptionsSchema=plugin.OptionsSchema, create_backend=create_backend)


_plugins = {name: _leaking(plugin) for name, plugin in discover().items()}
with patch.object(gateway.app, "discover", lambda: _plugins):
    app = gateway.app.create_app(gateway.app.load_settings_or_exit(os.environ))
