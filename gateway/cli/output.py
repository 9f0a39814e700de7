"""What the client's commands print: tables for people on a terminal, plain text in a pipe, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from gateway.client import ApiError

if TYPE_CHECKING:
    from rich.console import Console

#: The commands' exit codes besides 0 (done) and click's 2 (usage).
FAILED: Final = 1
UNKNOWN: Final = 3


def is_terminal(stream: TextIO) -> bool:
    """Return whether escape codes can be written: a person's terminal, whatever FORCE_COLOR says."""
    return stream.isatty() and os.environ.get("TERM") not in {"dumb", ""}


def console(stream: TextIO) -> Console:
    """Return rich's console for a terminal."""
    from rich.console import Console  # noqa: PLC0415 - only for terminals

    return Console(file=stream, force_terminal=True, highlight=False)


def printable(value: object) -> str:
    """Return a value as text without control characters, which a terminal would obey."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def print_json(document: object) -> None:
    """Print a document, one line."""
    click.echo(json.dumps(document, ensure_ascii=sys.stdout.encoding.lower() != "utf-8"))


def print_json_array(documents: Iterable[object]) -> None:
    """Print documents as one array, each on a line of its own as it comes."""
    separator = "["
    for document in documents:
        click.echo(separator, nl=False)
        print_json(document)
        separator = ","
    click.echo("]" if separator == "," else "[]")


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows: a table on a terminal; in a pipe one line a row as it comes, its values separated by tabs."""
    if not is_terminal(sys.stdout):
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(printable(row.get(column)) for column in columns))
        return
    from rich.table import Table  # noqa: PLC0415 - only for terminals
    from rich.text import Text  # noqa: PLC0415 - only for terminals

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(row.get(column))) for column in columns))
    console(sys.stdout).print(table)


def print_members(document: Mapping[str, Any]) -> None:
    """Print the members of one document, one line each."""
    width = max(map(len, document))
    for name, value in document.items():
        click.echo(f"{name:{width}}  {printable(value)}".rstrip())


def exit_code(error: ApiError) -> int:
    """Return the exit code of an error: an unknown outcome has its own."""
    return UNKNOWN if error.outcome == "unknown" else FAILED


def describe(problem: Mapping[str, Any]) -> str:
    """Return a problem as lines for people."""
    lines = [f"{problem['code']}: {problem['detail']}"]
    lines += [
        f"  {error.get('pointer') or error.get('parameter')}: {error['detail']}" for error in problem.get("errors", ())
    ]
    facts = [(name, problem.get(name)) for name in ("existing", "instance", "diff", "request_id")]
    lines += [f"  {name}: {printable(value)}" for name, value in facts if value]
    if problem["outcome"] == "unknown":
        lines.append("  The request may have been applied.")
    return "\n".join("".join(char if char.isprintable() else " " for char in line) for line in lines)


def print_error(error: ApiError, *, as_json: bool) -> None:
    """Print an error to standard error."""
    if as_json:
        click.echo(json.dumps(error.problem), err=True)
        return
    click.echo(f"Error: {describe(error.problem)}", err=True)
    if error.idempotency_key is not None and error.outcome == "unknown":
        click.echo(f"  Run it again with --idempotency-key {error.idempotency_key}", err=True)
