"""The encodings in which a secret may appear in a log line: plain, percent-encoded, base64, JSON."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

#: In characters. A shorter text occurs in words that are not secret.
MIN_SECRET_LENGTH: Final = 6
#: Bytes in front of the secret (modulo 3) -> leading base64 characters that depend on those bytes.
_SKIPPED_CHARACTERS: Final = {0: 0, 1: 2, 2: 3}


def encoded_variants(value: str) -> Iterator[str]:
    """Yield every encoding of a value, some more than once; in base64, at every alignment."""
    yield value
    yield quote(value, safe="", errors="replace")
    yield quote(value, errors="replace")
    yield quote_plus(value, errors="replace")
    for ensure_ascii in (True, False):
        escaped = _json_escape(value, ensure_ascii=ensure_ascii)
        yield escaped
        yield _json_escape(escaped, ensure_ascii=ensure_ascii)
    yield repr(value)[1:-1]
    yield from _base64(value.encode(errors="replace"), b64encode)
    yield from _base64(value.encode(errors="replace"), urlsafe_b64encode)


def _json_escape(value: str, *, ensure_ascii: bool) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii)[1:-1]


def _base64(value: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    for prefix_length, skipped in _SKIPPED_CHARACTERS.items():
        end = (prefix_length + len(value)) * 8 // 6  # the character after it depends on the bytes that follow
        yield encode(b"\0" * prefix_length + value)[skipped:end].decode()
