"""Page tokens: opaque to callers, bound to the filter they were made for."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Final

from gateway.domain.errors import FieldError, ValidationFailed
from gateway.domain.module import ModuleQuery

_MAX_LENGTH: Final = 512


def make_token(cursor: str, backend: str, query: ModuleQuery) -> str:
    """Wrap an adapter's cursor."""
    return base64.urlsafe_b64encode(json.dumps([cursor, _digest(backend, query)]).encode()).decode().rstrip("=")


def read_token(token: str, backend: str, query: ModuleQuery) -> str:
    """Return the cursor; raises ValidationFailed for a token of another filter, or no token at all."""
    try:
        text = token[:_MAX_LENGTH]  # longer ones are not ours; read whole, one could nest deeper than a parser goes
        cursor, digest = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError):
        cursor, digest = None, None
    if digest != _digest(backend, query) or not isinstance(cursor, str) or len(token) > _MAX_LENGTH:
        what = "Is no token of this list; tokens are bound to the filter."
        raise ValidationFailed(errors=[FieldError("/page_token", "pattern", what)])
    return cursor


def _digest(backend: str, query: ModuleQuery) -> str:
    parts = [backend, query.scope, query.parent, query.name, query.include_built_in]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
