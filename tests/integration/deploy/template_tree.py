"""Reads the part of Go's templates that the chart is written in into a tree; what is not of that part is an error."""

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
    """The template says something that is not understood here, or fails by its own word."""


@dataclass
class Node:
    """A piece of a template: text, print, assign, if, with, range or define; a branch is what stands under else."""

    kind: str
    code: str = ""
    names: tuple[str, ...] = ()
    body: list[Node] = field(default_factory=list)
    branch: list[Node] = field(default_factory=list)


def parse(source: str) -> list[Node]:
    """Read a template."""
    nodes, ended = _block(_pieces(source))
    if ended:
        raise TemplateError(f"{ended} without a beginning")
    return nodes


def tokens(code: str) -> list[str]:
    """Cut an expression into texts, numbers, paths, words and signs."""
    found, at = [], 0
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None or match.end() == at or not match[0].strip():
            raise TemplateError(f"not understood: {code[at:]!r}")
        found.append(match[0].strip())
        at = match.end()
    return found


def _pieces(source: str) -> Iterator[Node]:
    """Cut a template into text and actions; a dash takes the white space on its side away."""
    at, bare = 0, False
    for match in _ACTION.finditer(source):
        text = source[at : match.start()]
        text = text.lstrip() if bare else text
        yield Node("text", text.rstrip() if match["left"] else text)
        if not _COMMENT.fullmatch(match["code"]):
            yield Node("action", match["code"])
        at, bare = match.end(), bool(match["right"])
    rest = source[at:].lstrip() if bare else source[at:]
    if "{{" in rest:
        raise TemplateError(f"an action without an end: {rest!r}")
    yield Node("text", rest)


def _block(pieces: Iterator[Node]) -> tuple[list[Node], str]:
    """Read nodes up to the word that ends or divides a block; that word comes back, empty at the end of the file."""
    nodes: list[Node] = []
    for piece in pieces:
        if piece.kind == "text":
            nodes.append(piece)
            continue
        word, _, rest = piece.code.partition(" ")
        if word in {"end", "else"}:
            return nodes, piece.code
        nodes.append(_opened(word, rest.strip(), pieces) if word in _OPENING else _simple(piece.code))
    return nodes, ""


def _opened(word: str, rest: str, pieces: Iterator[Node]) -> Node:
    node = Node(word, rest)
    if word == "range":
        match = _RANGE.fullmatch(rest)
        assert match is not None
        node.code, node.names = match["over"], tuple(filter(None, (match["key"], match["value"])))
    node.body, ended = _block(pieces)
    if ended.startswith("else if "):
        node.branch = [_opened("if", ended.removeprefix("else if "), pieces)]  # its end is ours
        return node
    if ended == "else":
        node.branch, ended = _block(pieces)
    if ended != "end":
        raise TemplateError(f"{word} {rest}: no end, but {ended or 'the end of the file'}")
    return node


def _simple(code: str) -> Node:
    if match := _ASSIGN.fullmatch(code):
        return Node("assign", match["what"], (match["name"],))
    return Node("print", code)


_OPENING: Final = {"if", "with", "range", "define"}
