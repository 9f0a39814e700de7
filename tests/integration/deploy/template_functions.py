"""The functions that the chart's templates use, as Go, Sprig and Helm define them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, NoReturn

import yaml

from tests.integration.deploy.template_tree import TemplateError

_TYPES: Final[Mapping[str, type]] = {"map": dict, "slice": list, "string": str, "bool": bool}
#: Characters that Go's JSON encoder escapes and Python's does not.
_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def to_text(value: Any) -> str:
    """Return a value as text; raise for types that Go prints in its own syntax."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise TemplateError(f"{value!r} cannot be printed")


def to_json(value: Any) -> str:
    """Return JSON as Go encodes it: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def _to_yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=False, allow_unicode=True)
    return text.rstrip("\n")


def _nindent(width: int, text: str) -> str:
    indent = " " * width
    return "\n" + "\n".join(indent + line for line in text.split("\n"))


def _required(message: str, value: Any) -> Any:
    if value in {None, ""}:
        raise TemplateError(message)
    return value


def _fail(message: str) -> NoReturn:
    raise TemplateError(message)


def _dict(*pairs: Any) -> dict[str, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "add": lambda *numbers: sum(numbers),
    "default": lambda default, value: value or default,
    "dict": _dict,
    "fail": _fail,
    "first": lambda values: values[0],
    "gt": lambda left, right: left > right,
    "hasPrefix": lambda prefix, text: text.startswith(prefix),
    "int": int,
    "kindIs": lambda kind, value: isinstance(value, _TYPES[kind]),
    "le": lambda left, right: left <= right,
    "nindent": _nindent,
    "not": lambda value: not value,
    "printf": lambda form, *values: form % values,
    "quote": lambda value: json.dumps(to_text(value), ensure_ascii=False),
    "regexMatch": lambda pattern, text: re.search(pattern, text, re.ASCII) is not None,
    "required": _required,
    "sha256sum": lambda text: sha256(text.encode()).hexdigest(),
    "toJson": to_json,
    "toYaml": _to_yaml,
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trunc": lambda length, text: text[:length],
}
