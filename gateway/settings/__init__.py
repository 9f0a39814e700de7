"""The configuration: a TOML file and the environment, read once; every mistake is named at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from gateway.settings.callers import AuthConfig, CallerConfig, JwtConfig, read_auth
from gateway.settings.table import ConfigurationError, Secret, Source, Table
from gateway.settings.web import CorsConfig, RateLimitConfig, read_cors, read_limits

__all__ = [
    "AuthConfig",
    "BackendConfig",
    "CallerConfig",
    "ConfigurationError",
    "CorsConfig",
    "JwtConfig",
    "RateLimitConfig",
    "Secret",
    "Settings",
    "Table",
    "is_loopback",
    "load_toml",
    "parse_settings",
]

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, kw_only=True)
class BackendConfig:
    """One configured backend: its name, its type, and the options that its own package has read."""

    name: str
    type: str
    options: Any


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole configuration, sound."""

    bind: str
    deadline_seconds: float
    journal_url: Secret  # it may hold a password
    backends: tuple[BackendConfig, ...]
    auth: AuthConfig
    cors: CorsConfig
    limits: RateLimitConfig
    warnings: tuple[str, ...] = ()


def parse_settings(
    document: Mapping[str, Any],
    environ: Mapping[str, str],
    readers: Mapping[str, Callable[[Table], Any]],
    check_journal: Callable[[str], str | None] = lambda _url: None,
) -> Settings:
    """Read a parsed file; raises ConfigurationError.

    `readers` turn a backend's table into its options, by type; `check_journal` says what is wrong with a URL.
    """
    source = Source(environ)
    root = Table(document, "", source)
    server = root.table("server")
    deadline = server.number("deadline_seconds", 10.0, most=600.0)
    server.done()
    journal = root.table("journal")
    journal_url = journal.text(
        "url",
        "sqlite:///var/journal.db",
        pattern=r"(sqlite:///|postgres(ql)?://).+",
        shape="sqlite:///PATH or postgresql://…",
    )
    if journal_url and (mistake := check_journal(journal_url)):
        journal.wrong("url", mistake)
    journal.done()
    bind = environ.get("GATEWAY_BIND", "127.0.0.1:8000")
    backends = tuple(_connections(root.table("backends"), readers))
    auth = read_auth(root, [each.name for each in backends])
    if not auth.required and not is_loopback(bind):
        root.wrong("auth.mode", f"is none, which is allowed on a loopback address only, and GATEWAY_BIND is {bind}")
    cors, limits = read_cors(root.table("cors")), read_limits(root.table("limits"))
    if not backends and not source.mistakes:
        root.wrong("backends", "at least one [backends.NAME] is needed")
    root.done()
    if source.mistakes:
        raise ConfigurationError(source.mistakes)
    return Settings(
        bind=bind,
        deadline_seconds=deadline,
        journal_url=Secret(journal_url),
        backends=backends,
        auth=auth,
        cors=cors,
        limits=limits,
        warnings=tuple(source.warnings),
    )


def load_toml(path: str) -> dict[str, Any]:
    """Parse the TOML file; raises ConfigurationError where it is unreadable."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from None
    except ValueError as error:
        raise ConfigurationError([f"{path}: {error}"]) from None


def _connections(table: Table, readers: Mapping[str, Callable[[Table], Any]]) -> Iterable[BackendConfig]:
    for name in table.names():
        if not _NAME.fullmatch(name):
            table.wrong(name, "a connection's name is a lower-case letter, then at most 31 of a-z 0-9 -")
        options = table.table(name)
        kind = options.choice("type", readers)
        if kind in readers:
            yield BackendConfig(name=name, type=kind, options=readers[kind](options))
            options.done()


def is_loopback(bind: str) -> bool:
    """Tell whether HOST:PORT or unix:PATH can be reached from this machine only."""
    host = bind.rpartition(":")[0].strip("[]")
    try:
        return bind.startswith("unix:") or host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
