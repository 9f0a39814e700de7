"""The journals: one port, two databases, selected by the scheme of a URL.

`sqlite:///relative/path`, `sqlite:////absolute/path` and `sqlite:///:memory:` serve one machine, `postgresql://…`
several.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.journals.sqlite import SqliteJournal

if TYPE_CHECKING:
    from gateway.domain.journal import Journal

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = "postgresql://"


def create_journal(url: str) -> Journal:
    """Return the journal of a URL; it connects at its first use. Raises ValueError if `check_url` finds an error."""
    if error := check_url(url):
        raise ValueError(error)
    if url.startswith(_SQLITE):
        path = url.removeprefix(_SQLITE)
        return SqliteJournal(None if path == ":memory:" else Path(path))
    journal: Journal = import_module("gateway.journals.postgres").PostgresJournal(url)
    return journal


def check_url(url: str) -> str | None:
    """Return the error in a URL, without the URL, which may contain a password; None if it is valid."""
    if url.startswith(_SQLITE):
        path = url.removeprefix(_SQLITE)
        return "sqlite:/// must be followed by the path of a file, or by :memory:" if path[-1:] in {"", "/"} else None
    if not url.startswith(_POSTGRES):
        return "must begin with sqlite:/// or postgresql://"
    error: str | None = import_module("gateway.journals.postgres").check_url(url)
    return error
