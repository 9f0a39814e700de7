"""A package's code as syntax: which functions, calls and names of modules there are, and what a name stands for."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Unreadable(Exception):
    """Nobody can tell from the code what is said here."""


class File(NamedTuple):
    """One file's tree, and what stands in what."""

    path: Path
    tree: ast.Module
    parents: Mapping[ast.AST, ast.AST]


class Located(NamedTuple):
    """An expression and the file it stands in."""

    file: File
    node: ast.expr


class Sources:
    """All files of a package, but for folders left out."""

    def __init__(self, package: Path, without: Collection[Path] = ()) -> None:
        self.calls: defaultdict[str, list[tuple[File, ast.Call]]] = defaultdict(list)
        self.functions: defaultdict[str, list[tuple[File, Function]]] = defaultdict(list)
        self._constants: defaultdict[str, dict[Path, Located]] = defaultdict(dict)
        for path in sorted(package.rglob("*.py")):
            if not set(without) & set(path.parents):
                self._index(_parse(path))

    def _index(self, file: File) -> None:
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Call):
                self.calls[_name(node.func)].append((file, node))
            elif isinstance(node, Function):
                self.functions[node.name].append((file, node))
        for name, value in _assignments(file.tree.body):
            self._constants[name][file.path] = Located(file, value)

    def meant(self, file: File, name: ast.Name) -> list[Located]:
        """Return what a name may stand for: assigned in a function around it, passed to one, or a module's constant."""
        for function in _around(file, name):
            found = [
                Located(file, value) for assigned, value in _assignments(ast.walk(function)) if assigned == name.id
            ]
            if found := found or self._passed(function, name.id):
                return found
        return [self.constant(file, name.id)]

    def constant(self, file: File, name: str) -> Located:
        """Return a module's constant: its own file's, or the only one that another file may have it from."""
        found = self._constants.get(name, {})
        if file.path not in found and len(found) != 1:
            raise Unreadable(name)
        return found.get(file.path) or next(iter(found.values()))

    def returned(self, name: str) -> list[Located]:
        """Return what the functions of a name return."""
        return [
            Located(file, node.value)
            for file, function in self.functions[name]
            for node in ast.walk(function)
            if isinstance(node, ast.Return) and node.value is not None
        ]

    def _passed(self, function: Function, name: str) -> list[Located]:
        """Return what is passed for a parameter, wherever a function of this name is called."""
        names = [each.arg for each in function.args.args]
        if name not in names:
            return []
        at = names.index(name) - (names[0] in {"self", "cls"})
        return [Located(file, call.args[at]) for file, call in self.calls.get(function.name, []) if len(call.args) > at]


def _parse(path: Path) -> File:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return File(path, tree, {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)})


def _around(file: File, node: ast.AST) -> Iterator[Function]:
    """Yield the functions that something stands in, the innermost first."""
    while (parent := file.parents.get(node)) is not None:
        if isinstance(parent, Function):
            yield parent
        node = parent


def _assignments(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
