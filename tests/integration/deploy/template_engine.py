"""Evaluates templates: a small stand-in for Helm's engine that fails on everything it does not know."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.integration.deploy.template_tree import Node, TemplateError, parse, tokens
from tests.integration.deploy.template_words import WORDS, printed

_LITERALS: Final = {"true": True, "false": False}


@dataclass(frozen=True)
class Scope:
    """What names mean at a place: the dot, the variables (`$` is the dot of the whole), all that is defined."""

    dot: Any
    defined: Mapping[str, list[Node]]
    variables: dict[str, Any] = field(default_factory=dict)

    def at(self, dot: Any, **variables: Any) -> Scope:
        """Return the scope of a block within."""
        return replace(self, dot=dot, variables={**self.variables, **variables})


def collect(sources: Iterable[str]) -> dict[str, list[Node]]:
    """Return all that templates define, by name."""
    nodes = (node for source in sources for node in parse(source) if node.kind == "define")
    return {json.loads(node.code): node.body for node in nodes}


def render(source: str, data: Any, defined: Mapping[str, list[Node]]) -> str:
    """Render a template."""
    return _render(parse(source), Scope(data, defined, {"": data}))


def _render(nodes: list[Node], scope: Scope) -> str:
    return "".join(_piece(node, scope) for node in nodes)


def _piece(node: Node, scope: Scope) -> str:
    if node.kind in {"text", "define"}:
        return node.code if node.kind == "text" else ""
    value = _evaluate(node.code, scope)
    if node.kind == "print":
        return printed(value)
    if node.kind == "assign":
        scope.variables[node.names[0]] = value
        return ""
    if node.kind == "range":
        return _repeat(node, value, scope)
    inside = value if node.kind == "with" and value else scope.dot
    return _render(node.body if value else node.branch, scope.at(inside))


def _repeat(node: Node, values: Any, scope: Scope) -> str:
    """Go goes through a map in the order of its keys."""
    pairs = sorted(values.items()) if isinstance(values, dict) else list(enumerate(values))
    if not pairs:
        return _render(node.branch, scope.at(scope.dot))
    return "".join(
        _render(node.body, scope.at(value, **dict(zip(node.names, (key, value), strict=False)))) for key, value in pairs
    )


def _evaluate(code: str, scope: Scope) -> Any:
    rest = tokens(code)
    value = _pipeline(rest, scope)
    if rest:
        raise TemplateError(f"{code!r}: {rest[0]!r} is too much")
    return value


def _pipeline(rest: list[str], scope: Scope) -> Any:
    """Take tokens up to the end or a closing bracket; what is piped is the last argument."""
    value = _command(rest, scope, [])
    while rest and rest[0] == "|":
        rest.pop(0)
        value = _command(rest, scope, [value])
    return value


def _command(rest: list[str], scope: Scope, piped: list[Any]) -> Any:
    word = rest[0] if rest else ""
    if word in {"and", "or"}:
        rest.pop(0)
        return _choose(word, rest, scope)
    if word == "include":
        rest.pop(0)
        name, dot = [_operand(rest, scope) for _ in range(2)]
        return _render(scope.defined[name], Scope(dot, scope.defined, {"": dot}))
    if word in WORDS:
        rest.pop(0)
        arguments = []
        while rest and rest[0] not in {"|", ")"}:
            arguments.append(_operand(rest, scope))
        return WORDS[word](*arguments, *piped)
    if piped:
        raise TemplateError(f"{word!r} takes nothing from a pipe")
    return _operand(rest, scope)


def _choose(word: str, rest: list[str], scope: Scope) -> Any:
    """Return the operand that decides; those after it are passed over, for they may have no meaning."""
    value: Any = None
    decided = False
    while rest and rest[0] not in {"|", ")"}:
        if decided:
            _skip(rest)
            continue
        value = _operand(rest, scope)
        decided = bool(value) == (word == "or")
    return value


def _skip(rest: list[str]) -> None:
    depth = 0
    while True:
        token = rest.pop(0)
        depth += {"(": 1, ")": -1}.get(token, 0)
        if not depth:
            return


def _operand(rest: list[str], scope: Scope) -> Any:
    token = rest.pop(0)
    if token == "(":
        value = _pipeline(rest, scope)
        if not rest or rest.pop(0) != ")":
            raise TemplateError("a bracket is not closed")
        return value
    if token.startswith('"'):
        return json.loads(token)
    if token.lstrip("-").isdigit():
        return int(token)
    if token in _LITERALS:
        return _LITERALS[token]
    if token.startswith(("$", ".")):
        return _follow(token, scope)
    raise TemplateError(f"there is no {token!r} here")


def _follow(path: str, scope: Scope) -> Any:
    """Walk down a path; a step that is not there is an error, where Go would go on with nothing."""
    head, *steps = path.split(".")
    value = scope.variables[head[1:]] if head.startswith("$") else scope.dot
    for step in filter(None, steps):
        if not isinstance(value, dict) or step not in value:
            raise TemplateError(f"{path}: there is no {step}")
        value = value[step]
    return value
