"""The gateway with a bug that exposes secrets: `gunicorn tests.integration.secret_leaks.app:app`.

For modules whose name begins with `explode` the adapter raises an exception with the secrets in its message, and so do
a thread, a warning and a write to stderr.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from flask import has_request_context, request

import gateway.app
from gateway.backends import discover
from gateway.domain.backend import CallContext
from gateway.domain.module import Module, ModuleDraft, ModuleQuery, Page
from gateway.telemetry.redaction import collect_secrets


class LeakingBackend:
    """A backend that exposes its secrets in errors."""

    def __init__(self, backend: Any, options: Any) -> None:
        self._backend = backend
        self._secrets = tuple(collect_secrets(options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Create a module, or raise."""
        if draft.name.startswith("explode"):
            self._raise_with_secrets(call)
        module: Module = self._backend.create(draft, call)
        return module

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """List modules, or raise."""
        if (query.name or "").startswith("explode"):
            self._raise_with_secrets(call)
        page: Page = self._backend.list(query, page_size, cursor, call)
        return page

    def _raise_with_secrets(self, call: CallContext) -> None:
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


@dataclass(frozen=True)
class LeakingBackendType:
    """Wraps the backends of a type in LeakingBackend."""

    type: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.type, name)

    def create_backend(self, name: str, options: Any, *rest: Any, **named: Any) -> Any:
        return LeakingBackend(self.type.create_backend(name, options, *rest, **named), options)


def _fail(message: str) -> None:
    raise RuntimeError(message)


def _discover() -> dict[str, Any]:
    return {name: LeakingBackendType(backend_type) for name, backend_type in discover().items()}


with patch.object(gateway.app, "discover", _discover):
    app = gateway.app.create_app(gateway.app.load_settings_or_exit(os.environ))
