"""The journals: one port, two databases, chosen by the scheme of a URL.

`sqlite:///relative/path`, `sqlite:////absolute/path` and `sqlite:///:memory:` are embedded, for one machine;
`postgresql://…` is for several.
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
    """Return the journal of a URL that check_url has nothing against; it connects when it is first used."""
    if mistake := check_url(url):
        raise ValueError(mistake)
    if url.startswith(_SQLITE):
        path = url.removeprefix(_SQLITE)
        return SqliteJournal(None if path == ":memory:" else Path(path))
    journal: Journal = import_module("gateway.journals.postgres").PostgresJournal(url)
    return journal


def check_url(url: str) -> str | None:
    """Say what is wrong with a URL, without repeating it: it may hold a password."""
    if url.startswith(_SQLITE):
        path = url.removeprefix(_SQLITE)
        return "sqlite:/// wants a path behind it, or :memory:" if not path or path.endswith("/") else None
    if not url.startswith(_POSTGRES):
        return "must begin with sqlite:/// or postgresql://"
    mistake: str | None = import_module("gateway.journals.postgres").check_url(url)
    return mistake
