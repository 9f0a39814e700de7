"""Finds secrets by the name in front of them: fields, headers and parameters that carry credentials.

Every pattern takes linear time: no two of its quantifiers can match the same run of characters, and none can start to
match at each character of a run that another consumes.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "[redacted]"

#: Matches (in lower case) every text that a pattern below matches, and few other log lines: a quick first check.
PREFILTER: Final = re.compile(r"k(?:e[ty]|en(?!d)|ie)|sk|uth|w(?:or)?d|phrase|c(?:re[td]|ert)|gnat|b(?:eare|asic)|://")
#: The ends of secrets' names; page tokens are not secret.
_NAME_ENDINGS: Final = (
    r"authorization|cookie|credential|pass(?:word|wd|phrase)|pwd|secret(?:[_-]?key)?|private[_-]?key|api[_-]?key"
    r"|(?<!page_)(?<!page-)token|ticket|signature|client[_-]?cert"
)
_NAME: Final = rf"(?:[\w-]{{0,48}}?(?:{_NAME_ENDINGS})|sk)"
#: A name in quotes, with the separator behind it. The quotes may be escaped: JSON is often inside a JSON string.
_QUOTED_NAME: Final = rf"""(?<=["']){_NAME}\\*["']\s*(?:[:,]|=>?)\s*"""
_NO_VALUE: Final = r"""(?:null|None|true|false|\\*""|\\*''|[,}\])]|$)"""
_PATTERN_SOURCES: Final = (
    # "name": "…", 'name': b'…', ["name", "…"]; the value ends at its quote, or where the text was cut off
    rf"""{_QUOTED_NAME}[bru]?(?P<string>\\*["'])(?!(?P=string))(?s:.)+?(?=(?<!\\)(?P=string)|\Z)""",
    # "name": 123, "name": ["…", "…"]
    rf"""{_QUOTED_NAME}(?P<scalar>(?!{_NO_VALUE}|[bru]?["'])(?=[^\s\\{{]))(?:\[[^\]]*\]?|[^\s,;}}\])]+)""",
    # Name: … to the end of its line
    rf"""(?<![\w.-]){_NAME}[ \t]*:[ \t]*(?P<header>\\*["']?)(?=[^\s"'\\{{\[])[^\r\n"'\\]+""",
    # name=…&, name="…", name=Bearer …
    rf"""(?<![\w-]){_NAME}\s?=\s?(?P<parameter>(?:bearer\s+|basic\s+|\\*["'])?)[^\s,;&"'\\<>(){{}}\[\]]+""",
    # Bearer …
    r"""(?<![\w-])(?:bearer|basic)\s+(?P<scheme>)[\w.~+/=-]{8,}""",
    # scheme://user:…@host
    r"""://[^/?#\s@:"']*:(?P<userinfo>)[^/?#\s@"']+(?=@)""",
)
_PATTERNS: Final = tuple(re.compile(source, re.IGNORECASE | re.ASCII) for source in _PATTERN_SOURCES)
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE | re.ASCII)


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name holds a secret."""
    return _SECRET_NAME.fullmatch(name) is not None


def mask(text: str) -> str:
    """Return a text with the values behind secrets' names masked."""
    for pattern in _PATTERNS:
        text = pattern.sub(_mask_value, text)
    return text


def _mask_value(match: re.Match[str]) -> str:
    """Return a match with the value, which follows the one named group of each pattern, replaced by the mask."""
    return match[0][: match.end(match.lastgroup or 0) - match.start()] + MASK
