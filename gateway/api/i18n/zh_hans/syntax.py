"""Where a body breaks JSON's syntax: the words of Python's parser, with the place."""
# ruff: noqa: RUF001 - full-width punctuation is what Chinese is written with

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: What a newer parser says in words of its own is told in them, the place excepted.
_ANY: Final = "{}, at line {} column {}."

SYNTAX: Final[Mapping[str, str]] = {
    _ANY: "{}，位于第 {} 行第 {} 列。",
    "Expecting ',' delimiter, at line {} column {}.": "此处应为逗号，位于第 {} 行第 {} 列。",
    "Expecting ':' delimiter, at line {} column {}.": "此处应为冒号，位于第 {} 行第 {} 列。",
    "Expecting property name enclosed in double quotes, at line {} column {}.": (
        "此处应为双引号括起的键名，位于第 {} 行第 {} 列。"
    ),
    "Expecting value, at line {} column {}.": "此处应为一个值，位于第 {} 行第 {} 列。",
    "Extra data, at line {} column {}.": "JSON 结束后还有多余的内容，位于第 {} 行第 {} 列。",
    "Invalid \\escape, at line {} column {}.": "转义序列无效，位于第 {} 行第 {} 列。",
    "Invalid \\uXXXX escape, at line {} column {}.": "\\uXXXX 转义无效，位于第 {} 行第 {} 列。",
    "Invalid control character at, at line {} column {}.": "字符串中含有未转义的控制字符，位于第 {} 行第 {} 列。",
    "Unterminated string starting at, at line {} column {}.": "字符串缺少结束的引号，始于第 {} 行第 {} 列。",
}
