"""The journals: one port, two databases, selected by the scheme of a URL.

`sqlite:///relative/path` and `sqlite:////absolute/path` serve one machine, `sqlite:///:memory:` one process, and
`postgresql://…` several machines.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.journals.sqlite import SqliteJournal
from gateway.journals.sqlite_writer import NATIVE_THREADS, NativeThreads
from gateway.settings import Secret

if TYPE_CHECKING:
    from gateway.domain.journal import Journal

_SQLITE: Final = "sqlite:///"
_MEMORY: Final = ":memory:"
_POSTGRES: Final = "postgresql://"


__all__ = ["NativeThreads", "check_url", "create_journal"]


def create_journal(secret: Secret | str, threads: NativeThreads = NATIVE_THREADS) -> Journal:
    """Return the journal of a URL; it connects at its first use. Raises ValueError if `check_url` finds an error.

    An embedded journal writes in one of `threads`; psycopg waits for its server in a way that suits gevent.
    """
    url = secret if isinstance(secret, str) else secret.value
    if error := check_url(url):
        raise ValueError(error)
    if url.startswith(_SQLITE):
        path = url.removeprefix(_SQLITE)
        return SqliteJournal(None if path == _MEMORY else Path(path), threads)
    journal: Journal = import_module("gateway.journals.postgres").PostgresJournal(
        Secret(secret) if isinstance(secret, str) else secret
    )
    return journal


def check_url(url: str, *, processes: int = 1) -> str | None:
    """Return the error in a URL for a number of processes; None if it is valid.

    The error does not contain the URL, which may contain a password.
    """
    if url.startswith(_SQLITE):
        path = url.removeprefix(_SQLITE)
        if path == _MEMORY and processes > 1:  # each would have a journal of its own
            return f"sqlite:///:memory: serves one worker process, not {processes}; use the path of a file"
        return "sqlite:/// must be followed by the path of a file, or by :memory:" if path[-1:] in {"", "/"} else None
    if not url.startswith(_POSTGRES):
        return "must begin with sqlite:/// or postgresql://"
    error: str | None = import_module("gateway.journals.postgres").check_url(url)
    return error
