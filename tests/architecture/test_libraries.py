"""Third-party libraries are used as published: no private name, no overridden private method, no patched module."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import gateway

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = sorted([*(ROOT / "gateway").rglob("*.py"), *(ROOT / "config").glob("*.py"), ROOT / "wsgi.py"])
#: Assigning to an attribute of these objects is their documented interface.
ASSIGNABLE: Final = frozenset({"gevent.config", "flask.g"})


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__")) and name != "_"


def _defined_names(tree: ast.AST) -> set[str]:
    """Return every private name that a module defines: functions, classes, variables, attributes and slots."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}:
                names.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)  # __slots__ lists names as text
    return names


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return the local names of imported third-party objects, with what they stand for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    ours = {"gateway", "_typeshed", *sys.stdlib_module_names}
    return {local: path for local, path in names.items() if path.partition(".")[0] not in ours}


def _dotted(node: ast.expr) -> tuple[str, ...]:
    """Return the names of a chain such as `a.b.c`; empty if it does not begin with a name."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (base := _dotted(node.value)):
        return (*base, node.attr)
    return ()


def _violations(tree: ast.AST) -> Iterator[str]:
    defined, imported = _defined_names(tree), _imported(tree)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] not in {"gateway", "_typeshed"}
        ):
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            yield from (f"line {node.lineno}: imports {name}" for name in names if _is_private(name))
        elif isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in defined:
            yield f"line {node.lineno}: uses .{node.attr}, which this module does not define"
        for target in _targets(node):
            chain = _dotted(target)
            if len(chain) > 1 and chain[0] in imported:
                path = ".".join((imported[chain[0]], *chain[1:-1]))
                if path not in ASSIGNABLE:
                    yield f"line {target.lineno}: assigns to {'.'.join(chain)}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"setattr", "delattr"}:
            chain = _dotted(node.args[0])
            if chain and chain[0] in imported:
                yield f"line {node.lineno}: {node.func.id} on {'.'.join(chain)}"


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign | ast.Delete):
        targets = [leaf for target in node.targets for leaf in getattr(target, "elts", [target])]
        return [target for target in targets if isinstance(target, ast.Attribute)]
    if isinstance(node, ast.AugAssign | ast.AnnAssign) and isinstance(node.target, ast.Attribute):
        return [node.target]
    return []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_name_and_no_patch(path: Path) -> None:
    """No module reads a private name that it does not define, or assigns to an imported object."""
    assert list(_violations(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("from flask.globals import _cv_app", "imports _cv_app"),
        ("from gunicorn._private import name", "imports _private"),
        ("from flask import g\ng._get_current_object()", "uses ._get_current_object"),
        ("class A(Response):\n    def f(self):\n        return self._status", "uses ._status"),
        ("import gevent.hub\ngevent.hub.Hub.NOT_ERROR = ()", "assigns to gevent.hub.Hub.NOT_ERROR"),
        ("import requests\nrequests.x += 1", "assigns to requests.x"),
        ("import requests\nsetattr(requests, 'x', 1)", "setattr on requests"),
        ("import requests\ndel requests.x", "assigns to requests.x"),
    ],
)
def test_the_check_finds(source: str, problem: str) -> None:
    """Each kind of violation is found."""
    (violation,) = _violations(ast.parse(source))
    assert problem in violation


def test_the_check_accepts() -> None:
    """Own private names, dunder names and documented configuration objects are accepted."""
    source = "import gevent\ngevent.config.resolver = 'block'\nclass A:\n    def __init__(self):\n        self._x = 1\n"
    assert list(_violations(ast.parse(source))) == []


def _classes() -> list[type]:
    """Return the gateway's classes that derive from a third-party class."""
    found: list[type] = []
    for module_info in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if module_info.name.endswith(".__main__"):  # importing it runs the command line
            continue
        module = importlib.import_module(module_info.name)
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == module.__name__ and _third_party_bases(cls):
                found.append(cls)
    return found


def _third_party_bases(cls: type) -> list[type]:
    ours = ("gateway.", "builtins", "typing", "abc", "enum")
    return [
        base
        for base in cls.__mro__[1:]
        if not base.__module__.startswith(ours) and base.__module__.partition(".")[0] not in sys.stdlib_module_names
    ]


@pytest.mark.parametrize("cls", _classes(), ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_no_private_member_of_a_base_class(cls: type) -> None:
    """A class that derives from a library's class defines and sets no private member that the library has."""
    used = set(re.findall(r"(?:\bself\.|\bdef |^    )(_[a-z]\w*)", inspect.getsource(cls), re.MULTILINE))
    inherited = {
        name
        for base in _third_party_bases(cls)
        for name in used
        if hasattr(base, name) or re.search(rf"\bself\.{name}\b", _source(base))
    }
    # marshmallow documents Field._serialize, Field._deserialize and Field._validated as its extension points:
    # https://marshmallow.readthedocs.io/en/stable/custom_fields.html
    documented = {"_serialize", "_deserialize"}
    assert inherited - documented == set()


def _source(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return ""  # built in C
