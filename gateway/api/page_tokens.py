"""Page tokens: a cursor, opaque to callers and bound to the filter of its list."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any, Final

from gateway.domain.errors import FieldError, ValidationFailed
from gateway.domain.messages import message

_MAX_LENGTH: Final = 512
#: What a cursor can consist of, here and in the adapters.
_CURSOR: Final = re.compile(r"[0-9A-Za-z._-]{1,200}", re.ASCII)


def encode_page_token(cursor: str | None, *filter_values: Any) -> str | None:
    """Return the token of a cursor; None if there is no further page."""
    if cursor is None:
        return None
    text = json.dumps([cursor, _digest(filter_values)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_page_token(token: str | None, *filter_values: Any) -> str | None:
    """Return the cursor in a token, None without a token.

    Raises ValidationFailed if the token is malformed or of another filter.
    """
    if token is None:
        return None
    clipped_token = token[:_MAX_LENGTH]  # a longer token is invalid, and could be nested too deep to parse
    try:
        cursor, digest = json.loads(base64.urlsafe_b64decode(clipped_token + "=" * (-len(clipped_token) % 4)))
    except (ValueError, TypeError):
        cursor, digest = None, None
    if (
        not isinstance(cursor, str)
        or not _CURSOR.fullmatch(cursor)
        or digest != _digest(filter_values)
        or len(token) > _MAX_LENGTH
    ):
        raise ValidationFailed(errors=[FieldError("/page_token", "pattern", message("page_token_invalid"))])
    return cursor


def _digest(filter_values: Any) -> str:
    return hashlib.sha256(json.dumps(filter_values).encode()).hexdigest()[:16]
