"""Page tokens: opaque to callers and bound to the filter of the list."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Final

from gateway.domain.errors import FieldError, ValidationFailed
from gateway.domain.messages import message
from gateway.domain.module import ModuleQuery

_MAX_LENGTH: Final = 512


def encode_page_token(cursor: str, backend: str, query: ModuleQuery) -> str:
    """Return the token of an adapter's cursor."""
    document = json.dumps([cursor, _filter_digest(backend, query)])
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


def decode_page_token(token: str, backend: str, query: ModuleQuery) -> str:
    """Return the cursor; raises ValidationFailed for a token of another filter and for any other text."""
    try:
        text = token[:_MAX_LENGTH]  # a longer one is invalid, and could be nested deeper than the parser can go
        cursor, digest = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError):
        cursor, digest = None, None
    if digest != _filter_digest(backend, query) or not isinstance(cursor, str) or len(token) > _MAX_LENGTH:
        what = message("page_token_invalid")
        raise ValidationFailed(errors=[FieldError("/page_token", "pattern", what)])
    return cursor


def _filter_digest(backend: str, query: ModuleQuery) -> str:
    parts = [backend, query.scope, query.parent, query.name, query.include_built_in]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
