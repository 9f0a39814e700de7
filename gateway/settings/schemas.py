"""The whole configuration file: its tables, and the settings that they load into."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from marshmallow import ValidationError, fields, missing, validates_schema

from gateway.domain.capabilities import ConnectionMode
from gateway.settings.callers import AuthConfig, AuthSchema, CallerSchema, bind_address
from gateway.settings.fields import (
    Choice,
    ConfigurationError,
    Integer,
    ListOf,
    LoadContext,
    NamedItems,
    Number,
    ProxyList,
    SecretText,
    SettingsSchema,
    Table,
    Text,
)  # fmt: skip
from gateway.settings.secret import Secret

_CONNECTION_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
#: Browsers leave out the default port of the scheme. Other schemes are those of extensions and packaged applications.
_ORIGIN_PATTERN: Final = (
    r"(http://(?!.*:80$)|https://(?!.*:443$)|(?!https?:|file:)[a-z][a-z0-9+.-]*://)"
    r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
)
_DEFAULT_JOURNAL: Final = Secret("sqlite:///var/journal.db")
_DEFAULT_STORAGE: Final = Secret("memory://")


@dataclass(frozen=True, kw_only=True)
class BackendConfig:
    """A configured connection; the OptionsSchema of its type has loaded its `options`."""

    name: str
    type: str
    mode: ConnectionMode = "read_write"
    retry_after_seconds: float = 60.0  # of a write while the mode is read_only
    options: Any


@dataclass(frozen=True, slots=True)
class CorsConfig:
    """The origins whose pages may call the API."""

    origins: tuple[str, ...] = ()
    max_age_seconds: float = 600.0  # how long a browser caches the permission
    allow_headers: tuple[str, ...] = ()  # headers that pages may send besides those that the gateway knows


@dataclass(frozen=True, slots=True)
class RateLimitConfig:
    """Where requests are counted: in each worker, or in Redis for all workers."""

    storage: Secret = _DEFAULT_STORAGE  # its address may contain a password


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A valid configuration."""

    bind: str
    deadline_seconds: float = 10.0
    trusted_proxies: tuple[str, ...] = ()  # networks or "unix"; their X-Forwarded-Prefix is the mount point
    journal_url: Secret = _DEFAULT_JOURNAL  # it may contain a password
    changes_days: int = 90  # how long entries of the change log are kept
    backends: tuple[BackendConfig, ...]
    auth: AuthConfig
    cors: CorsConfig
    limits: RateLimitConfig
    warnings: tuple[str, ...] = ()


def _check_journal_url(url: Secret) -> None:
    if error := LoadContext.current().check_journal_url(url.value):
        raise ValidationError(error)


def _check_redis_installed(storage: Secret) -> None:
    if storage.value.startswith("redis") and find_spec("redis") is None:
        raise ValidationError("needs the extra: pip install module-gateway[redis]")


class _ServerSchema(SettingsSchema):
    deadline_seconds = Number()
    trusted_proxies = ProxyList()


class _JournalSchema(SettingsSchema):
    url = SecretText(
        r"(sqlite:///|postgres(ql)?://).+",
        "sqlite:///PATH or postgresql://…",
        warn_if_literal=False,
        validate=_check_journal_url,
        attribute="journal_url",
    )
    changes_days = Integer(maximum=3650)


class _CorsSchema(SettingsSchema):
    target = CorsConfig

    origins = ListOf(
        Text(
            _ORIGIN_PATTERN,
            "an origin as browsers send it: scheme, lower-case host, port if not the default; no path, no *",
        )
    )
    max_age_seconds = Number(allow_zero=True)
    allow_headers = ListOf(Text(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", "the name of a header"))


class _RateLimitSchema(SettingsSchema):
    target = RateLimitConfig

    storage = SecretText(
        r"memory://|rediss?://.+",
        "memory:// or redis://HOST:PORT/DB",
        warn_if_literal=False,
        validate=_check_redis_installed,
    )


class _ConnectionSchema(SettingsSchema):
    """The settings that a connection of every type has."""

    mode = Choice(("read_write", "read_only"))
    retry_after_seconds = Number()


class _BackendTables(NamedItems):
    """The tables [backends.NAME], each loaded by the schema of its type."""

    def load_item(self, name: str, value: Any) -> BackendConfig:
        """Return one connection; raises ValidationError with the errors of its name and its settings together."""
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        options, common = None, dict[str, Any]()
        errors: dict[str | None, Any] = {}  # by key; None: of the whole table
        settings = {key: setting for key, setting in value.items() if key != "type"}
        common_settings = {key: settings.pop(key) for key in _ConnectionSchema().fields.keys() & settings.keys()}
        if not _CONNECTION_NAME.fullmatch(name):
            errors[None] = ["a connection's name is a lower-case letter, then at most 31 of a-z 0-9 -"]
        context = LoadContext.current()
        try:
            backend_type = str(Choice(context.option_schemas, required=True).deserialize(value.get("type", missing)))
        except ValidationError as error:
            raise ValidationError({**errors, "type": error.messages}) from None
        try:
            common = _ConnectionSchema().load(common_settings)
        except ValidationError as error:
            errors.update(error.messages_dict)
        try:
            with replace(context, path=f"backends.{name}.").activate():  # for the warnings
                options = context.option_schemas[backend_type]().load(settings)
        except ValidationError as error:
            errors.update(error.messages_dict)
        if errors:
            raise ValidationError(errors)
        return BackendConfig(name=name, type=backend_type, options=options, **common)


class _ConfigurationSchema(SettingsSchema):
    server = Table(_ServerSchema)
    journal = Table(_JournalSchema)
    auth = Table(AuthSchema)
    callers = ListOf(
        fields.Nested(CallerSchema),
        load_default=(),
        error_messages={"invalid": "must be tables, each under [[callers]]"},
    )
    cors = Table(_CorsSchema)
    limits = Table(_RateLimitSchema)
    backends = _BackendTables(load_default=dict)

    @validates_schema
    def check_backends(self, data: dict[str, Any], **_kwargs: Any) -> None:
        """Require a backend, if the file has no other errors: marshmallow skips this validator otherwise."""
        if not data["backends"]:
            raise ValidationError("at least one [backends.NAME] is needed", "backends")

    def build(self, values: dict[str, Any]) -> Settings:
        """Return the settings, with the callers as a part of `auth` and the warnings that fields have added."""
        context = LoadContext.current()
        return Settings(
            bind=bind_address(context.environ),
            **values["server"],
            **values["journal"],
            backends=tuple(values["backends"].values()),
            auth=replace(values["auth"], callers=values["callers"]),
            cors=values["cors"],
            limits=values["limits"],
            warnings=tuple(context.warnings),
        )


def _accept_journal_url(_url: str) -> None:
    """Find nothing wrong with a URL; a named function, because a secret that refers to it is pickled."""


def parse_settings(
    document: Mapping[str, Any],
    environ: Mapping[str, str],
    option_schemas: Mapping[str, type[SettingsSchema]],
    check_journal_url: Callable[[str], str | None] = _accept_journal_url,
) -> Settings:
    """Return the settings of a parsed file; raises ConfigurationError with all errors.

    `option_schemas` has the schema of each backend type. `check_journal_url` returns what is wrong with a URL, or None.
    """
    context = LoadContext(
        document=document, environ=environ, option_schemas=option_schemas, check_journal_url=check_journal_url
    )
    try:
        with context.activate():
            settings: Settings = _ConfigurationSchema().load(document)
    except ValidationError as error:
        raise ConfigurationError(_error_lines(error.messages, document, "")) from None
    return settings


def load_toml(path: str) -> dict[str, Any]:
    """Return the content of a TOML file; raises ConfigurationError if it cannot be read or parsed."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError([f"{path}: {error}"]) from None


def _error_lines(messages: Any, value: Any, path: str) -> Iterator[str]:
    """Yield `path: message` for each of marshmallow's messages about a value, in the order of the file.

    `messages` is a list for the value itself, or a dictionary by the keys (or indices) of the value's items.
    """
    if not isinstance(messages, dict):
        yield from (f"{path}: {message}" for message in messages)
        return
    items = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
    positions = {key: position for position, key in enumerate(items)}
    for key in sorted(messages, key=lambda key: positions.get(key, len(positions))):  # missing keys last
        if isinstance(key, int):
            item_path = f"{path}[{key + 1}]"
        elif key in items or key not in {None, "_schema"}:  # None and "_schema" stand for the table itself
            item_path = f"{path}.{key}" if path else key
        else:
            item_path = path
        yield from _error_lines(messages[key], items.get(key), item_path)
