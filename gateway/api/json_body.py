"""The request body as one JSON object; everything that two parsers could read differently is an error."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from flask import Request

from gateway.domain.errors import InvalidJson, PayloadTooLarge, UnsupportedMediaType
from gateway.domain.messages import Message, message

MAX_BODY_BYTES: Final = 64 * 1024
MAX_BATCH_BYTES: Final = 256 * 1024
#: Longer headers are not parsed: the time that Werkzeug takes for some of them grows with the square of the length.
MAX_PARSED_HEADER: Final = 2000
_MAX_DEPTH: Final = 16
JSON_TYPE: Final = "application/json"
MERGE_PATCH_TYPE: Final = "application/merge-patch+json"


def parse_json_body(request: Request, *media_types: str, max_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Return the body's JSON object; raises UnsupportedMediaType, PayloadTooLarge or InvalidJson."""
    environ = request.environ
    # The usual header needs no parsing.
    if environ.get("CONTENT_TYPE") not in media_types and not _has_media_type(request, media_types):
        content_type = environ.get("CONTENT_TYPE", "")
        raise UnsupportedMediaType(
            message("content_type_expected", content_type=content_type, media_types=" or ".join(media_types))
        )
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedMediaType(message("content_encoding_unsupported", encoding=encoding))
    request.max_content_length = max_bytes + 1  # of a body of unknown length, one byte more shows that it is too large
    body = request.get_data(cache=False)
    if len(body) > max_bytes:
        raise PayloadTooLarge(message("payload_too_large", maximum=max_bytes))
    return parse_json_object(body)


def _has_media_type(request: Request, media_types: Sequence[str]) -> bool:
    """Return whether the Content-Type is one of the media types, in UTF-8 or ASCII, or without a charset."""
    if len(request.environ.get("CONTENT_TYPE", "")) > MAX_PARSED_HEADER:
        return False
    charset = request.mimetype_params.get("charset", "").strip("'").lower().replace("_", "-")
    return request.mimetype in media_types and charset in {"", "utf-8", "utf8", "us-ascii", "ascii"}


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Return the object that a body contains; raises InvalidJson if it is not one JSON object, in UTF-8."""
    try:
        text = body.decode("utf-8")
        document = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode("utf-8")  # raises UnicodeError for a lone surrogate
    except RecursionError:
        raise InvalidJson(message("json_too_deep", levels=_MAX_DEPTH)) from None
    except UnicodeError:
        raise InvalidJson(message("json_not_utf8")) from None
    except ValueError as error:
        raise InvalidJson(_syntax_error_detail(error)) from None
    if not isinstance(document, dict):
        raise InvalidJson(message("json_not_an_object", value=_shape(document)))
    # Most bodies have fewer brackets than the permitted levels: counting them is faster than walking the document.
    if text.count("{") + text.count("[") > _MAX_DEPTH and _exceeds_depth([document], _MAX_DEPTH):
        raise InvalidJson(message("json_too_deep", levels=_MAX_DEPTH))
    return document


def _reject_duplicate_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        repeated_name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise InvalidJson(message("json_duplicate_key", name=repeated_name))
    return members


def _shape(document: Any) -> str:
    """Return how a document that is no object is called, without its content, which may be a secret."""
    return "[…]" if isinstance(document, list) else "null" if document is None else type(document).__name__


def _reject_constant(name: str) -> NoReturn:
    """Reject NaN and Infinity, which Python's parser accepts."""
    raise InvalidJson(message("json_not_a_number", name=name))


def _parse_finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InvalidJson(message("json_number_too_large", value=digits))
    return number


#: json.loads with these arguments would create a decoder for every body.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_reject_duplicate_keys, parse_constant=_reject_constant, parse_float=_parse_finite_float
)


def _exceeds_depth(values: Iterable[Any], levels: int) -> bool:
    """Return whether objects and lists among the values are nested deeper than `levels`.

    Each call looks at one level as a whole, so that the recursion is no deeper than `levels`.
    """
    containers = [value for value in values if isinstance(value, dict | list)]
    if not containers:
        return False
    children = (
        child
        for container in containers
        for child in (container.values() if isinstance(container, dict) else container)
    )
    return levels == 0 or _exceeds_depth(children, levels - 1)


def _syntax_error_detail(error: ValueError) -> Message:
    """Return where the syntax is wrong; the body, which may contain a secret, is not repeated."""
    if isinstance(error, json.JSONDecodeError):
        return message("json_syntax", line=error.lineno, column=error.colno, reason=error.msg)
    # The only other ValueError: CPython limits the digits of an int.
    return message("json_number_too_long", maximum=sys.get_int_max_str_digits())
