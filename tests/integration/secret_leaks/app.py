"""The real service, with a bug that shouts secrets: `gunicorn tests.integration.secret_leaks.app:app`.

Where a module's name begins with `explode`, the adapter fails with the secrets in its words, and so do a greenlet, a
warning and a print; everything else is as it is in production.
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


class Shouting:
    """A connection whose adapter knows no discretion."""

    def __init__(self, backend: Any, options: Any) -> None:
        self._backend = backend
        self._secrets = tuple(collect_secrets(options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def create(self, draft: ModuleDraft, call: CallContext) -> Module:
        """Create, or explode."""
        if draft.name.startswith("explode"):
            self._explode(call)
        module: Module = self._backend.create(draft, call)
        return module

    def list(self, query: ModuleQuery, page_size: int, cursor: str | None, call: CallContext) -> Page:
        """List, or explode."""
        if (query.name or "").startswith("explode"):
            self._explode(call)
        page: Page = self._backend.list(query, page_size, cursor, call)
        return page

    def _explode(self, call: CallContext) -> None:
        held = getattr(getattr(getattr(self._backend, "_client", None), "credentials", None), "_held", None)
        words = f"credentials {self._secrets} and {call.credential} and {held}; {call!r}"
        if has_request_context():
            words += f"\n{request.headers}"
        thread = threading.Thread(target=_fail, args=(words,))
        thread.start()
        thread.join()
        warnings.warn(words, stacklevel=1)
        sys.stderr.write(f"{words}\n")
        _fail(words)


@dataclass(frozen=True)
class ShoutingType:
    """A type of backend that connects to the above."""

    type: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.type, name)

    def create_backend(self, name: str, options: Any, *rest: Any, **named: Any) -> Any:
        return Shouting(self.type.create_backend(name, options, *rest, **named), options)


def _fail(words: str) -> None:
    raise RuntimeError(words)


with patch.object(gateway.app, "discover", lambda: {name: ShoutingType(type_) for name, type_ in discover().items()}):
    app = gateway.app.create_app(gateway.app.load_settings_or_exit(os.environ))
