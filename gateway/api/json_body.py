"""A request's body as one JSON object, read strictly: what two parsers could read differently is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from flask import Request
from werkzeug.exceptions import ClientDisconnected

from gateway.domain.errors import InvalidJson, PayloadTooLarge, UnsupportedMediaType

MAX_BYTES: Final = 64 * 1024
_MAX_DEPTH: Final = 16
_SHORT: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"


def read_object(request: Request, *media_types: str) -> dict[str, Any]:
    """Return the body's JSON object; raises UnsupportedMediaType, PayloadTooLarge or InvalidJson."""
    if not _is_one_of(request, media_types):
        raise UnsupportedMediaType(f"Send Content-Type: {' or '.join(media_types)}, in UTF-8.")
    if request.environ.get("HTTP_CONTENT_ENCODING"):
        raise UnsupportedMediaType("A Content-Encoding is not supported.")
    body = _read(request)
    if len(body) > MAX_BYTES:
        raise PayloadTooLarge
    return parse_object(body)


def _read(request: Request) -> bytes:
    """Return the body; one of a length that is told and not too long is read at once, without Werkzeug's wrappers."""
    told = request.environ.get("CONTENT_LENGTH", "")
    if not _SHORT.fullmatch(told) or "HTTP_TRANSFER_ENCODING" in request.environ:
        return request.get_data(cache=False)
    body: bytes = request.environ["wsgi.input"].read(int(told))
    if len(body) < int(told):
        raise ClientDisconnected
    return body


def _is_one_of(request: Request, media_types: Sequence[str]) -> bool:
    if request.environ.get("CONTENT_TYPE") in media_types:  # as nearly everybody writes it
        return True
    return request.mimetype in media_types and request.mimetype_params.get("charset", "utf-8").lower() == "utf-8"


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse one object; raises InvalidJson for everything else."""
    try:
        text = body.decode("utf-8")
        document = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode("utf-8")  # half a surrogate pair cannot be encoded
    except InvalidJson:
        raise
    except RecursionError:
        raise InvalidJson(f"It is nested deeper than {_MAX_DEPTH} levels.") from None
    except UnicodeError:
        raise InvalidJson("It is not well-formed UTF-8, or has half of a surrogate pair.") from None
    except ValueError as error:
        raise InvalidJson(_where(error)) from None
    if not isinstance(document, dict):
        raise InvalidJson("It must be an object.")
    # As a rule a body has fewer brackets than it may have levels.
    if text.count("{") + text.count("[") > _MAX_DEPTH and _deeper([document], _MAX_DEPTH):
        raise InvalidJson(f"It is nested deeper than {_MAX_DEPTH} levels.")
    return document


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidJson("It has the same key twice in one object.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is no JSON number.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InvalidJson("It has a number too large to be kept.")
    return number


#: Made once: json.loads with these would make one for every body.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)


def _deeper(values: Iterable[Any], levels: int) -> bool:
    """Tell whether containers are nested deeper than that many levels."""
    containers = [value for value in values if isinstance(value, dict | list)]
    if not containers:
        return False
    inner = (each for value in containers for each in (value.values() if isinstance(value, dict) else value))
    return levels == 0 or _deeper(inner, levels - 1)


def _where(error: ValueError) -> str:
    """Say where the syntax breaks, without repeating what was sent."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, at line {error.lineno} column {error.colno}."
    return "It has a number too long to be read."
