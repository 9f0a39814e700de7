"""Secrets known by the name in front of them: fields, headers and parameters that carry credentials."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "[redacted]"

#: A piece of every word that a pattern below wants, in letters as rare as can be: most lines have none of them.
HINT: Final = re.compile(r"k(?:e[ty]|en(?!d)|ie)|sk|uth|w(?:or)?d|phrase|c(?:re[td]|ert)|gnat|b(?:eare|asic)|://")
#: What a secret's name ends in; the tokens of pages are no secret.
_WORDS: Final = (
    r"authorization|cookie|credential|pass(?:word|wd|phrase)|pwd|secret(?:[_-]?key)?|private[_-]?key|api[_-]?key"
    r"|(?<!page_)(?<!page-)token|ticket|signature|client[_-]?cert"
)
_NAME: Final = rf"(?:[\w-]{{0,48}}?(?:{_WORDS})|sk)"
_NOTHING: Final = r"""(?:null|None|true|false|\\*""|\\*''|[,}\])]|$)"""
_SHAPES: Final = (
    # "name": "…", 'name': b'…', ["name", "…"], also where the JSON is itself inside a string, or was cut off
    rf"""(\\*["']){_NAME}\1\s*(?:[:,]|=>?)\s*[bru]?(?P<string>\\*["'])(?!(?P=string))(?s:.)+?(?=(?<!\\)(?P=string)|\Z)""",
    # "name": 123, "name": ["…", "…"]
    rf"""(\\*["']){_NAME}\1\s*(?:[:,]|=>?)\s*(?P<scalar>(?!{_NOTHING}|[bru]?["'])(?=[^\s\\{{]))(?:\[[^\]]*\]?|[^\s,;}}\])]+)""",
    # Name: … to the end of its line
    rf"""(?<![\w.-]){_NAME}[ \t]*:[ \t]*(?P<header>\\*["']?)(?=[^\s"'\\{{\[])[^\r\n"'\\]+""",
    # name=…&, name="…", name=Bearer …
    rf"""(?<![\w-]){_NAME}\s?=\s?(?P<parameter>(?:bearer\s+|basic\s+|\\*["'])?)[^\s,;&"'\\<>(){{}}\[\]]+""",
    # Bearer …
    r"""(?<![\w-])(?:bearer|basic)\s+(?P<scheme>)[\w.~+/=-]{8,}""",
    # scheme://user:…@host
    r"""://[^/?#\s@:"']*:(?P<userinfo>)[^/?#\s@"']+(?=@)""",
)
_PATTERNS: Final = tuple(re.compile(shape, re.IGNORECASE | re.ASCII) for shape in _SHAPES)
_WHOLE: Final = re.compile(_NAME, re.IGNORECASE | re.ASCII)


def is_secret(name: str) -> bool:
    """Tell whether what a field of this name holds must not be shown."""
    return _WHOLE.fullmatch(name) is not None


def mask(text: str) -> str:
    """Return a text without the values that stand behind a secret's name."""
    for pattern in _PATTERNS:
        text = pattern.sub(_masked, text)
    return text


def _masked(match: re.Match[str]) -> str:
    """Keep what stands before the value: it ends where the pattern's named group does."""
    return match[0][: match.end(match.lastgroup or 0) - match.start()] + MASK
