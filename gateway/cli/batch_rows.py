"""The two files of `module-gateway batch`: the rows to create, and what became of each.

A row is identified by its content and its `ref`, or its number where it has none. Together with the random id of the
run, which is the first line of the result file, this identity is the row's Idempotency-Key: running the command again,
after whatever interruption, continues the same creates.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, cast

from gateway.client.client import new_key
from gateway.client.models import BatchItem

#: The columns of a CSV file besides `attributes.NAME` (text) and `attributes.NAME:json`.
COLUMNS: Final = ("ref", "parent_ref", "backend", "scope", "parent", "name", "description", "owners")
_ATTRIBUTE: Final = re.compile(r"attributes\.(?P<name>.+?)(?P<json>:json)?")
_OWNER_SEPARATOR: Final = re.compile(r"[;,]")
#: The states of rows that are complete; the others are tried again.
HELD: Final = frozenset({"created", "adopted"})
_IDENTITY_DIGITS: Final = 16  # of an identity, hexadecimal: 64 bits, 8 bytes a row in memory


class InvalidFile(Exception):
    """The text says what is wrong with a file, and where."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row and its identity."""

    number: int  # from 1, without the header
    ref: str | None
    parent_ref: str | None
    values: Mapping[str, Any]
    identity: str

    def item(self, *, parent: str | None, parent_ref: str | None) -> BatchItem:
        """Return the row as an item of a batch, with a parent that other rows create."""
        item = {**self.values, "ref": self.identity}
        if parent is not None:
            item["parent"] = parent
        elif parent_ref is not None:
            item["parent_ref"] = parent_ref
        return cast("BatchItem", item)


@dataclass(frozen=True, slots=True)
class Scan:
    """What is known of a file before its rows are read a second time."""

    rows: int
    parent_refs: frozenset[str]


def read_rows(path: Path, defaults: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of a file, a CSV file if its name ends so, else JSON Lines; raises InvalidFile."""
    read = _read_csv if path.suffix.lower() == ".csv" else _read_json_lines
    try:
        for number, values in enumerate(read(path), start=1):
            yield _create_row(number, values, defaults)
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{path}: is not UTF-8: {error.reason}") from None


def scan(path: Path, defaults: Mapping[str, Any]) -> Scan:
    """Read all rows once; raises InvalidFile for the first one that cannot be read."""
    rows, parent_refs = 0, set()
    for row in read_rows(path, defaults):
        rows = row.number
        if row.parent_ref is not None:
            parent_refs.add(row.parent_ref)
    return Scan(rows, frozenset(parent_refs))


def _create_row(number: int, values: dict[str, Any], defaults: Mapping[str, Any]) -> Row:
    ref, parent_ref = (None if (value := values.pop(name, None)) is None else str(value) for name in COLUMNS[:2])
    if values.get("backend", defaults.get("backend")) == defaults.get("backend"):
        left_out = {"parent"} if parent_ref is not None else set()
        values = {name: value for name, value in defaults.items() if name not in left_out} | values
    content = json.dumps([number if ref is None else ref, parent_ref, values], sort_keys=True)
    return Row(number, ref, parent_ref, values, sha256(content.encode()).hexdigest()[:40])


def _read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as file:
        for line_number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except ValueError as error:
                raise InvalidFile(f"{path}:{line_number}: is not JSON: {error}") from None
            if not isinstance(values, dict):
                raise InvalidFile(f"{path}:{line_number}: must be a JSON object")
            yield values


def _read_csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            columns = [name.strip() for name in next(reader, [])]
            for name in columns:
                if name not in COLUMNS and not _ATTRIBUTE.fullmatch(name):
                    expected = ", ".join((*COLUMNS, "attributes.NAME"))
                    raise InvalidFile(f"{path}: the header has the column {name!r}; expected: {expected}")
            if "name" not in columns or len({*columns}) < len(columns):
                raise InvalidFile(f"{path}: the header must have the column name, and no column twice")
            for cells in reader:
                if any(cells):
                    if len(cells) != len(columns):
                        raise InvalidFile(f"{path}:{reader.line_num}: has {len(cells)} cells, not {len(columns)}")
                    yield _parse_cells(dict(zip(columns, cells, strict=True)), f"{path}:{reader.line_num}")
        except csv.Error as error:
            raise InvalidFile(f"{path}:{reader.line_num}: {error}") from None


def _parse_cells(cells: Mapping[str, str], place: str) -> dict[str, Any]:
    """Return the values of a row; an empty cell leaves its member out."""
    values: dict[str, Any] = {}
    for column, cell in cells.items():
        if not cell.strip():
            continue
        match = _ATTRIBUTE.fullmatch(column)
        if match is None:
            is_list = column == "owners"
            values[column] = [part.strip() for part in _OWNER_SEPARATOR.split(cell)] if is_list else cell
            continue
        try:
            value = json.loads(cell) if match["json"] else cell
        except ValueError:
            raise InvalidFile(f"{place}: {column} is not JSON: {cell!r}") from None
        values.setdefault("attributes", {})[match["name"]] = value
    return values


class ResultFile:
    """One JSON line for each row that was sent; the first line names the run.

    Opening it keeps the lines of complete rows and removes the others, which are tried again; so at the end there is
    one line a row. It is locked while it is open.
    """

    def __init__(self, path: Path, parent_refs: frozenset[str]) -> None:
        """Open or create the file; raises InvalidFile if it is none of this kind, or in use."""
        self.path = path
        self.run = new_key()
        self.parents: dict[str, str] = {}  # the native ids of rows that are parents, by ref
        self.complete = 0
        self._identities = array("Q")
        self._parent_refs = parent_refs
        self._previous = path.open("a+", encoding="utf-8")
        _lock(self._previous, path)
        self._file = self._rewrite()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._previous.close()

    def __contains__(self, row: Row) -> bool:
        """Return whether an earlier run has completed the row."""
        identity = _short(row.identity)
        index = bisect_left(self._identities, identity)
        return index < len(self._identities) and self._identities[index] == identity

    def write(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Append the results of rows; they are on the disk when this returns."""
        for entry in entries:
            self._note(entry)
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _rewrite(self) -> IO[str]:
        """Replace the file by one with the complete rows, and return it, open for more."""
        entries = self._read()
        temporary = self.path.with_name(f"{self.path.name}.tmp")
        file = temporary.open("w", encoding="utf-8")
        _lock(file, self.path)
        file.write(json.dumps({"run": self.run}) + "\n")
        identities = array("Q")
        for entry in entries:
            self._note(entry)
            identities.append(_short(entry["identity"]))
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self.complete = len(identities)
        self._identities = array("Q", sorted(identities))
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        return file

    def _read(self) -> Iterable[dict[str, Any]]:
        """Read the run's id, and return the entries of complete rows; a line that a crash cut off is left out."""
        self._previous.seek(0)
        header = self._previous.readline()
        if not header:
            return ()
        try:
            self.run = str(json.loads(header)["run"])
        except (ValueError, TypeError, KeyError):
            raise InvalidFile(f"{self.path}: exists and is no result file; give another one with --result") from None
        return self._complete_entries()

    def _complete_entries(self) -> Iterator[dict[str, Any]]:
        for line in self._previous:
            with suppress(ValueError):
                entry = json.loads(line)
                if entry["state"] in HELD:
                    yield entry

    def _note(self, entry: Mapping[str, Any]) -> None:
        if entry["ref"] in self._parent_refs and entry["native_id"] is not None:
            self.parents[entry["ref"]] = entry["native_id"]


def _short(identity: str) -> int:
    return int(identity[:_IDENTITY_DIGITS], 16)


def _lock(file: IO[str], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InvalidFile(f"{path}: another run writes this file") from None
