"""Changes the gateway's code in one place at a time and runs the tests of that package: `python -m tests.mutations`.

The list of changes depends only on the seed and the code. A change that no test notices is printed as survived.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Final

_ROOT: Final = Path(__file__).parents[1]
_COPIES: Final = 2
_TIMEOUT: Final = 600.0  # seconds; a change that makes the tests hang is noticed too
#: The tests of a package, beside tests/unit/<package>, in the order in which they are run.
_FURTHER_TESTS: Final = {
    "api": ("tests/contract",),
    "backends": ("tests/contract", "tests/unit/api"),
    "cli": ("tests/integration/docs",),
    "client": ("tests/integration/docs",),
    "domain": ("tests/unit/api", "tests/unit/provisioning", "tests/unit/backends"),
    "provisioning": ("tests/unit/api", "tests/model_check"),
    "resilience": ("tests/unit/api",),
    "server": ("tests/integration/deploy/test_gunicorn.py",),
    "settings": ("tests/unit/test_app.py", "tests/unit/backends"),
    "telemetry": ("tests/unit/api",),
    "twins": ("tests/contract", "tests/conformance"),
}
_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


@dataclass(frozen=True)
class Mutation:
    """One change: the text between two offsets of a file is replaced."""

    path: str
    line: int
    start: int
    end: int
    old: str
    new: str

    @property
    def package(self) -> str:
        """The package of the file, or the name of a module at the top."""
        return Path(self.path).parts[1].removesuffix(".py")

    def __str__(self) -> str:
        old, new = (" ".join(text.split())[:50] for text in (self.old, self.new))
        return f"{self.path}:{self.line}: {old} -> {new}"


def find_mutations(path: Path) -> Iterator[Mutation]:
    """Yield all changes of a file; types, imports and docstrings are left alone."""
    source = path.read_text(encoding="utf-8")
    lines = [0, *(index + 1 for index, character in enumerate(source) if character == "\n")]
    for node in _walk(ast.parse(source)):
        replacement = _replace(node)
        if replacement is None:
            continue
        assert isinstance(node, ast.expr)
        start, end = (
            lines[line - 1] + len(source[lines[line - 1] :].encode()[:column].decode())
            for line, column in ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        )
        new = f"({ast.unparse(replacement)})"
        yield Mutation(str(path.relative_to(_ROOT)), node.lineno, start, end, source[start:end], new)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the expressions that are evaluated at run time."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            is_docstring = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not is_docstring and not isinstance(child, ast.JoinedStr):
                yield child
                yield from _walk(child)


def _replace(node: ast.AST) -> ast.expr | None:  # noqa: PLR0911 - a table of patterns
    """Return a changed expression, or None if there is no change for it."""
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            return ast.Compare(left, [_COMPARISONS[type(operator)]()], [right])
        case ast.BoolOp(op=operator, values=values):
            return ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return operand
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return ast.BinOp(left, ast.Sub(), right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return ast.BinOp(left, ast.Add(), right)
        case ast.Constant(value=bool() as value):
            return ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            return ast.Constant(value + 1)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return ast.IfExp(test, orelse, body)
    return None


def select(seed: int, count: int) -> list[Mutation]:
    """Return a random selection with about as many changes from each package."""
    rng = random.Random(seed)  # noqa: S311 - repeatable by its seed
    by_package: dict[str, list[Mutation]] = {}
    for path in sorted((_ROOT / "gateway").rglob("*.py")):
        for mutation in find_mutations(path):
            by_package.setdefault(mutation.package, []).append(mutation)
    for mutations in by_package.values():
        rng.shuffle(mutations)
    selected: list[Mutation] = []
    while len(selected) < count and any(by_package.values()):
        selected += [mutations.pop() for mutations in by_package.values() if mutations]
    return selected[:count]


def run(mutation: Mutation, copy: Path) -> bool:
    """Return whether a test notices the change, made in a copy of the project."""
    path = copy / mutation.path
    source = path.read_text(encoding="utf-8")
    path.write_text(source[: mutation.start] + mutation.new + source[mutation.end :], encoding="utf-8")
    try:
        own = f"tests/unit/{mutation.package}"
        own = own if (copy / own).is_dir() else f"tests/unit/test_{mutation.package}.py"
        tests = [own, *_FURTHER_TESTS.get(mutation.package, ())]
        return any(not _pass(copy, test) for test in tests if (copy / test).exists())
    finally:
        path.write_text(source, encoding="utf-8")


def _pass(copy: Path, test: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    environ = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "SIMULATION_HISTORIES": "400"}
    with tempfile.TemporaryFile() as output:
        try:
            result = subprocess.run(
                command, check=False, cwd=copy, env=environ, stdout=output, stderr=output, timeout=_TIMEOUT
            )
        except subprocess.TimeoutExpired:
            return False
    return result.returncode == 0


def main(arguments: Sequence[str]) -> int:
    """Print each change and whether it was noticed; return the number of those that were not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args(arguments)
    mutations = select(options.seed, options.count)
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copies: Queue[Path] = Queue()
        for number in range(_COPIES):
            copy = Path(folder) / str(number)
            shutil.copytree(_ROOT, copy, ignore=shutil.ignore_patterns(".*", "var", "*.egg-info", "__pycache__"))
            copies.put(copy)

        def run_in_a_copy(mutation: Mutation) -> bool:
            copy = copies.get()
            try:
                is_noticed = run(mutation, copy)
            finally:
                copies.put(copy)
            _print(f"{'noticed ' if is_noticed else 'SURVIVED'} {mutation}")
            return is_noticed

        with ThreadPoolExecutor(_COPIES) as pool:
            results = list(pool.map(run_in_a_copy, mutations))
    _print(f"{sum(results)} of {len(results)} noticed")
    return len(results) - sum(results)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
