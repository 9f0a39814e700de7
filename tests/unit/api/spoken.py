"""Every sentence that the code can say to a caller as a title, detail, allowed value or meaning, read off the code.

A sentence with values is a template: `{}` stands for each of them. What cannot be read is told too: nothing is skipped.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from gateway.domain.errors import REGISTRY, GatewayError
from tests.unit.api.sources import File, Located, Sources, Unreadable

PACKAGE: Final = Path(__file__).parents[3] / "gateway"
#: They answer nobody in our words: a twin speaks its vendor's, and the catalogue is what is being tested.
_SILENT: Final = (PACKAGE / "twins", PACKAGE / "api/languages")
#: Said when the error was raised for the first time, before it went into the journal.
_KEPT: Final = "kept['detail']"
_OF_A_MISTAKE: Final = (("detail", 2), ("allowed", 3))


class Reader:
    """Reads a package; `said` has the place of each template, `unreadable` the places that tell nothing."""

    def __init__(self, package: Path = PACKAGE) -> None:
        self.said: dict[str, str] = {}
        self.unreadable: list[str] = []
        self._sources = Sources(package, _SILENT)
        self._errors = {each.__name__ for each in _family(GatewayError)}
        for name, calls in list(self._sources.calls.items()):
            for file, call in calls:
                for expression in self._telling(name, call):
                    self._hear(Located(file, expression), package.parent)
        for error in REGISTRY.values():
            place = f"{error.__module__}.{error.__qualname__}"
            self.said |= {_escaped(error.title): place, _escaped(error.description()): place}

    def _telling(self, name: str, call: ast.Call) -> Iterator[ast.expr]:
        """Yield what a call makes known: of an error its first argument, of a field's mistake two, of a field one."""
        words = {each.arg: each.value for each in call.keywords}
        if name == "FieldError":
            yield from (words[word] for word, _ in _OF_A_MISTAKE if word in words)
            yield from (call.args[at] for _, at in _OF_A_MISTAKE if len(call.args) > at)
        elif name == "Field":
            yield from (value for word, value in words.items() if word == "allowed")
        elif name in self._errors or _may_make_an_error(call.func, words):
            yield from (value for word, value in words.items() if word == "detail")
            yield from call.args[:1]

    def _hear(self, what: Located, root: Path) -> None:
        place = f"{what.file.path.relative_to(root)}:{what.node.lineno}"
        try:
            self.said |= dict.fromkeys(_read(self._sources, [what]), place)
        except Unreadable as error:
            self.unreadable.append(f"{place}: {error}")


class _Expression(ast.NodeVisitor):
    """Visits an expression of a file and returns the templates it can be; none for what is said elsewhere."""

    def __init__(self, sources: Sources, file: File) -> None:
        self._sources = sources
        self._file = file

    def generic_visit(self, node: ast.AST) -> set[str]:
        raise Unreadable(ast.unparse(node))

    def visit_Constant(self, node: ast.Constant) -> set[str]:
        if isinstance(node.value, str):
            return {_escaped(node.value)}
        return self.generic_visit(node) if node.value is not None else set()

    def visit_Attribute(self, node: ast.Attribute) -> set[str]:
        """Read what the class has said, or the capabilities."""
        return set() if node.attr in {"title", "allowed"} else self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> set[str]:
        return _joined(map(self.visit, node.values))

    def visit_FormattedValue(self, node: ast.FormattedValue) -> set[str]:
        """Read what stands in a place for a value: words where they can be told, else any value."""
        try:
            return self.visit(node.value) or {"{}"}
        except Unreadable:
            return {"{}"}

    def visit_BinOp(self, node: ast.BinOp) -> set[str]:
        if not isinstance(node.op, ast.Add):
            return self.generic_visit(node)
        return _joined(map(self.visit, (node.left, node.right)))

    def visit_IfExp(self, node: ast.IfExp) -> set[str]:
        return {*self.visit(node.body), *self.visit(node.orelse)}

    def visit_BoolOp(self, node: ast.BoolOp) -> set[str]:
        return {template for value in node.values for template in self.visit(value)}

    def visit_Name(self, node: ast.Name) -> set[str]:
        return _read(self._sources, self._sources.meant(self._file, node))

    def visit_Call(self, node: ast.Call) -> set[str]:
        match node.func:
            case ast.Attribute(value=ast.Constant(value=str(between)), attr="join"):
                return {"{}", f"{{}}{_escaped(between)}{{}}"}
            case ast.Name(id=name) if name in self._sources.functions:
                return _read(self._sources, self._sources.returned(name))
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> set[str]:
        if ast.unparse(node) == _KEPT:
            return set()
        if isinstance(node.value, ast.Name):
            file, table = self._sources.constant(self._file, node.value.id)
            if isinstance(table, ast.Dict):
                return _read(self._sources, [Located(file, value) for value in table.values])
        return self.generic_visit(node)


def _read(sources: Sources, expressions: Iterable[Located]) -> set[str]:
    return {template for file, node in expressions for template in _Expression(sources, file).visit(node)}


def _may_make_an_error(function: ast.expr, words: Mapping[str | None, ast.expr]) -> bool:
    """Tell whether what is called may be an error's class in a variable: a method is named after what it is of.

    Python's own `errors="strict"` is another matter.
    """
    given = [words[word] for word in ("errors", "evidence") if word in words]
    return not isinstance(function, ast.Attribute) and any(not isinstance(each, ast.Constant) for each in given)


def _family(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield error
    for each in error.__subclasses__():
        yield from _family(each)


def _joined(parts: Iterable[set[str]]) -> set[str]:
    return {"".join(combination) for combination in itertools.product(*parts)}


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
