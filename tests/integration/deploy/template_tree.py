"""Parses the subset of Go's templates that the chart uses; anything else is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_ACTION: Final = re.compile(r"\{\{(?P<left>-(?=\s))?\s*(?P<code>.*?)\s*(?P<right>(?<=\s)-)?\}\}", re.DOTALL)
_COMMENT: Final = re.compile(r"/\*.*\*/", re.DOTALL)
_TOKEN: Final = re.compile(
    r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d+)|(?P<path>\$?\.?\w+(?:\.\w+)*|\$|\.)|(?P<sign>[()|]))\s*'
)
_RANGE: Final = re.compile(r"(?:\$(?P<key>\w+)\s*,\s*\$(?P<value>\w+)\s*:=\s*)?(?P<over>.*)", re.DOTALL)
_ASSIGN: Final = re.compile(r"\$(?P<name>\w+)\s*:=\s*(?P<what>.*)", re.DOTALL)


class TemplateError(Exception):
    """The template is not supported here, or calls `fail` or `required`."""


@dataclass
class Node:
    """A node of a template: text, print, assign, if, with, range or define; `branch` is its else part."""

    kind: str
    code: str = ""
    names: tuple[str, ...] = ()
    body: list[Node] = field(default_factory=list)
    branch: list[Node] = field(default_factory=list)


def parse(source: str) -> list[Node]:
    """Parse a template."""
    nodes, end = _parse_block(_split(source))
    if end:
        raise TemplateError(f"{end} without a block")
    return nodes


def tokens(code: str) -> list[str]:
    """Split an expression into strings, numbers, paths, words and signs."""
    result, at = [], 0
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None or match.end() == at or not match[0].strip():
            raise TemplateError(f"not supported: {code[at:]!r}")
        result.append(match[0].strip())
        at = match.end()
    return result


def _split(source: str) -> Iterator[Node]:
    """Split a template into text and actions; a dash trims the white space on its side."""
    at, trim = 0, False
    for match in _ACTION.finditer(source):
        text = source[at : match.start()]
        text = text.lstrip() if trim else text
        yield Node("text", text.rstrip() if match["left"] else text)
        if not _COMMENT.fullmatch(match["code"]):
            yield Node("action", match["code"])
        at, trim = match.end(), bool(match["right"])
    rest = source[at:].lstrip() if trim else source[at:]
    if "{{" in rest:
        raise TemplateError(f"an action is not closed: {rest!r}")
    yield Node("text", rest)


def _parse_block(pieces: Iterator[Node]) -> tuple[list[Node], str]:
    """Return the nodes of a block and the `end` or `else` that ends it, "" at the end of the file."""
    nodes: list[Node] = []
    for piece in pieces:
        if piece.kind == "text":
            nodes.append(piece)
            continue
        word, _, rest = piece.code.partition(" ")
        if word in {"end", "else"}:
            return nodes, piece.code
        nodes.append(_parse_compound(word, rest.strip(), pieces) if word in _COMPOUND else _parse_simple(piece.code))
    return nodes, ""


def _parse_compound(word: str, rest: str, pieces: Iterator[Node]) -> Node:
    node = Node(word, rest)
    if word == "range":
        match = _RANGE.fullmatch(rest)
        assert match is not None
        node.code, node.names = match["over"], tuple(filter(None, (match["key"], match["value"])))
    node.body, end = _parse_block(pieces)
    if end.startswith("else if "):
        node.branch = [_parse_compound("if", end.removeprefix("else if "), pieces)]  # shares the end of this node
        return node
    if end == "else":
        node.branch, end = _parse_block(pieces)
    if end != "end":
        raise TemplateError(f"{word} {rest}: expected end, got {end or 'the end of the file'}")
    return node


def _parse_simple(code: str) -> Node:
    if match := _ASSIGN.fullmatch(code):
        return Node("assign", match["what"], (match["name"],))
    return Node("print", code)


_COMPOUND: Final = {"if", "with", "range", "define"}
