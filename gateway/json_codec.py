"""JSON, written and read by orjson, and by the standard library where orjson declines.

A create writes nine documents and reads three. The standard library makes an encoder for each, at 16 to 25 µs a
document under load; orjson takes 1 to 2. It declines integers of more than 64 bits, halves of surrogate pairs and keys
that are no text, all of which a backend may hold.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

#: What the standard library would not write is not written here either: a dataclass may hold a secret.
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_SORTED: Final = _STRICT | orjson.OPT_SORT_KEYS
_ASCII: Final = json.JSONEncoder(default=str, check_circular=False, separators=(",", ":"))


def write(document: Any) -> bytes:
    """Return a document as UTF-8, without a blank; raises TypeError or ValueError for what is no JSON."""
    try:
        return orjson.dumps(document, None, _STRICT)
    except TypeError:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def write_sorted(document: Any) -> bytes:
    """Return the one form that all equal documents have: keys in order, and nothing but ASCII where orjson declines."""
    try:
        return orjson.dumps(document, None, _SORTED)
    except TypeError:
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def write_line(document: Any) -> str:
    """Return a document as one line of ASCII for a log; what is no JSON is written as its own text."""
    try:
        line = orjson.dumps(document, str, _STRICT).decode()
    except TypeError:
        line = ""
    return line if line and line.isascii() else _ASCII.encode(document)


def read(text: bytes | str) -> Any:
    """Return a document, an integer of more than 64 bits as a fraction; raises ValueError or RecursionError."""
    try:
        return orjson.loads(text)
    except ValueError:
        document = json.loads(text)
        write(document)  # half of a surrogate pair is a ValueError here: it could never be written out
        return document
