"""How a secret may be spelled in a line: as it is, in an address, in base64, in JSON."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

#: What a spelling must have at least to be looked for: less would be found in words that are no secret.
MIN_SECRET_LENGTH: Final = 6
#: With other bytes in front, the first characters of base64 depend on those; so many are left out, by their number.
_SKIPPED: Final = {0: 0, 1: 2, 2: 3}


def encoded_variants(value: str) -> Iterator[str]:
    """Yield every spelling of a value, some of them more than once; in base64 it may stand behind anything."""
    yield value
    yield quote(value, safe="", errors="replace")
    yield quote(value, errors="replace")
    yield quote_plus(value, errors="replace")
    for ensure_ascii in (True, False):
        inside = _in_json(value, ensure_ascii=ensure_ascii)
        yield inside
        yield _in_json(inside, ensure_ascii=ensure_ascii)
    yield repr(value)[1:-1]
    yield from _in_base64(value.encode(errors="replace"), b64encode)
    yield from _in_base64(value.encode(errors="replace"), urlsafe_b64encode)


def _in_json(value: str, *, ensure_ascii: bool) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii)[1:-1]


def _in_base64(value: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    for before, skipped in _SKIPPED.items():
        certain = (before + len(value)) * 8 // 6  # the character after those depends on what follows
        yield encode(b"\0" * before + value)[skipped:certain].decode()
