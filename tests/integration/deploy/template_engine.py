"""Evaluates templates: a small substitute for Helm's engine that raises on every unknown construct."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.integration.deploy.template_functions import FUNCTIONS, to_text
from tests.integration.deploy.template_tree import Node, TemplateError, parse, tokens

_LITERALS: Final = {"true": True, "false": False}


@dataclass(frozen=True)
class Scope:
    """The dot, the variables (`$` is the root) and the definitions at a place of a template."""

    dot: Any
    definitions: Mapping[str, list[Node]]
    variables: dict[str, Any] = field(default_factory=dict)

    def enter(self, dot: Any, **variables: Any) -> Scope:
        """Return the scope of a nested block."""
        return replace(self, dot=dot, variables={**self.variables, **variables})


def collect_definitions(sources: Iterable[str]) -> dict[str, list[Node]]:
    """Return the definitions of templates by name."""
    nodes = (node for source in sources for node in parse(source) if node.kind == "define")
    return {json.loads(node.code): node.body for node in nodes}


def render(source: str, data: Any, definitions: Mapping[str, list[Node]]) -> str:
    """Render a template."""
    return _render(parse(source), Scope(data, definitions, {"": data}))


def _render(nodes: list[Node], scope: Scope) -> str:
    return "".join(_render_node(node, scope) for node in nodes)


def _render_node(node: Node, scope: Scope) -> str:
    if node.kind in {"text", "define"}:
        return node.code if node.kind == "text" else ""
    value = _evaluate(node.code, scope)
    if node.kind == "print":
        return to_text(value)
    if node.kind == "assign":
        scope.variables[node.names[0]] = value
        return ""
    if node.kind == "range":
        return _render_range(node, value, scope)
    dot = value if node.kind == "with" and value else scope.dot
    return _render(node.body if value else node.branch, scope.enter(dot))


def _render_range(node: Node, values: Any, scope: Scope) -> str:
    """Render the body for each value; Go sorts a map by key."""
    pairs = sorted(values.items()) if isinstance(values, dict) else list(enumerate(values))
    if not pairs:
        return _render(node.branch, scope.enter(scope.dot))
    return "".join(
        _render(node.body, scope.enter(value, **dict(zip(node.names, (key, value), strict=False))))
        for key, value in pairs
    )


def _evaluate(code: str, scope: Scope) -> Any:
    rest = tokens(code)
    value = _pipeline(rest, scope)
    if rest:
        raise TemplateError(f"{code!r}: {rest[0]!r} is unexpected")
    return value


def _pipeline(rest: list[str], scope: Scope) -> Any:
    """Evaluate tokens up to the end or a closing parenthesis; a piped value is the last argument."""
    value = _command(rest, scope, [])
    while rest and rest[0] == "|":
        rest.pop(0)
        value = _command(rest, scope, [value])
    return value


def _command(rest: list[str], scope: Scope, piped: list[Any]) -> Any:
    word = rest[0] if rest else ""
    if word in {"and", "or"}:
        rest.pop(0)
        return _and_or(word, rest, scope)
    if word == "include":
        rest.pop(0)
        name, dot = [_operand(rest, scope) for _ in range(2)]
        return _render(scope.definitions[name], Scope(dot, scope.definitions, {"": dot}))
    if word in FUNCTIONS:
        rest.pop(0)
        arguments = []
        while rest and rest[0] not in {"|", ")"}:
            arguments.append(_operand(rest, scope))
        return FUNCTIONS[word](*arguments, *piped)
    if piped:
        raise TemplateError(f"{word!r} cannot take a piped value")
    return _operand(rest, scope)


def _and_or(word: str, rest: list[str], scope: Scope) -> Any:
    """Return the operand that decides; later ones are skipped, since they may be invalid."""
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
            raise TemplateError("a parenthesis is not closed")
        return value
    if token.startswith('"'):
        return json.loads(token)
    if token.lstrip("-").isdigit():
        return int(token)
    if token in _LITERALS:
        return _LITERALS[token]
    if token.startswith(("$", ".")):
        return _resolve(token, scope)
    raise TemplateError(f"unexpected {token!r}")


def _resolve(path: str, scope: Scope) -> Any:
    """Return the value of a path; a missing key is an error here, unlike in Go."""
    head, *steps = path.split(".")
    value = scope.variables[head[1:]] if head.startswith("$") else scope.dot
    for step in filter(None, steps):
        if not isinstance(value, dict) or step not in value:
            raise TemplateError(f"{path}: no key {step}")
        value = value[step]
    return value
