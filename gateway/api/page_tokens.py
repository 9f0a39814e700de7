"""Page tokens: a cursor, opaque to callers and bound to the filter of its list."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Final

from gateway.domain.errors import FieldError, ValidationFailed
from gateway.domain.messages import message

_MAX_LENGTH: Final = 512
#: What a cursor consists of, here and in the adapters.
_CURSOR: Final = re.compile(r"[0-9A-Za-z._-]{1,200}", re.ASCII)
#: The values that select what a list contains: its backend, and the parameters other than those of the page.
ListFilter = Sequence[str | bool | None]


def encode_page_token(cursor: str | None, list_filter: ListFilter) -> str | None:
    """Return the token of a cursor, None for None."""
    if cursor is None:
        return None
    text = json.dumps([cursor, filter_digest(list_filter)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_page_token(token: str | None, list_filter: ListFilter) -> str | None:
    """Return the cursor in a token, None for None; raises ValidationFailed if it is malformed or of another filter."""
    if token is None:
        return None
    try:
        clipped_token = token[:_MAX_LENGTH]  # a longer token is invalid, and could be nested too deep to parse
        cursor, digest = json.loads(base64.urlsafe_b64decode(clipped_token + "=" * (-len(clipped_token) % 4)))
    except (ValueError, TypeError):
        cursor, digest = None, None
    if (
        not isinstance(cursor, str)
        or not _CURSOR.fullmatch(cursor)
        or digest != filter_digest(list_filter)
        or len(token) > _MAX_LENGTH
    ):
        raise ValidationFailed(errors=[FieldError("/page_token", "pattern", message("page_token_invalid"))])
    return cursor


def filter_digest(list_filter: ListFilter) -> str:
    """Return the part of a token that binds it to its filter."""
    return hashlib.sha256(json.dumps(list_filter).encode()).hexdigest()[:16]
