"""The base schema and the field types of the configuration file."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar, Final

from marshmallow import RAISE, Schema, ValidationError, fields, missing, post_load, validate
from marshmallow.experimental.context import Context

from gateway.settings.secret import FileSecret, Secret

_ErrorMessages = dict[str, str | list[Any] | dict[Any, Any]]
#: How long after a lost reply a backend may still apply a create: a transaction of CMDB is committed within 120 s. For
#: ProjectMan no time is documented, and the same is assumed.
_COMMIT_SECONDS: Final = 120
_FILE_PREFIX: Final = "file:"
_REFERENCE_PREFIXES: Final = ("env:", _FILE_PREFIX)
_PORT_PATTERN: Final = r"6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4}"
_PATH_CHARACTER: Final = r"(?:[A-Za-z0-9._~/!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URL_PATTERN: Final = (
    rf"[Hh][Tt][Tt][Pp][Ss]?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:({_PORT_PATTERN}))?(/{_PATH_CHARACTER}*)?"
)


class ConfigurationError(Exception):
    """The configuration is invalid; `errors` has one line per error."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(map(_escape_unprintable, errors))
        super().__init__("\n".join(self.errors))


def _escape_unprintable(text: str) -> str:
    """Return the text as one line: characters that cannot be printed are replaced by escape sequences."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@dataclass(frozen=True, kw_only=True)
class LoadContext:
    """What a field can read besides its own value while a configuration is loaded, and the warnings that it adds to."""

    document: Mapping[str, Any]
    environ: Mapping[str, str]
    option_schemas: Mapping[str, type[SettingsSchema]]  # by backend type
    check_journal_url: Callable[[str], str | None]  # returns what is wrong with a URL, or None
    path: str = ""  # of the table that is being loaded, with a dot at the end; empty for the whole file
    warnings: list[str] = field(default_factory=list)
    used_identifiers: set[Any] = field(default_factory=set)  # names and credentials of the callers loaded so far

    def activate(self) -> Context[LoadContext]:
        """Return a context manager; in its block, `current` returns this context."""
        return Context(self)

    @staticmethod
    def current() -> LoadContext:
        """Return the context whose block is being executed."""
        return Context[LoadContext].get()


class SettingsSchema(Schema):
    """A table of the configuration file: it refuses unknown keys and loads into an instance of `target`.

    An absent key gets the default of `target`. A validator of a whole table names the invalid key:
    `ValidationError(message, key)`.
    """

    class Meta:  # noqa: D106 - marshmallow's options
        unknown = RAISE

    target: ClassVar[Callable[..., Any]] = dict
    error_messages: dict[str, str] = {"unknown": "is not a setting", "type": "must be a table"}  # noqa: RUF012 - marshmallow reads it off the class

    @post_load
    def make_target(self, data: dict[str, Any], **_kwargs: Any) -> Any:
        """Call `build` with lists as tuples, because settings are immutable."""
        return self.build({key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})

    def build(self, values: dict[str, Any]) -> Any:
        """Return the object for the loaded values."""
        return self.target(**values)


class Table(fields.Nested):
    """A table; if it is absent, its schema loads an empty one."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        """Load the table."""
        return super().deserialize({} if value is missing else value, attr, data, **kwargs)


class NamedItems(fields.Field[dict[str, Any]]):
    """A table whose keys are names that the operator chooses; here its values are texts."""

    default_error_messages: _ErrorMessages = {"invalid": "must be a table"}  # noqa: RUF012 - marshmallow reads it off the class

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        loaded: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name, item in value.items():
            try:
                loaded[name] = self.load_item(name, item)
            except ValidationError as error:
                errors[name] = error.messages
        if errors:
            raise ValidationError(errors)
        return loaded

    def load_item(self, name: str, value: Any) -> Any:  # noqa: ARG002 - used by subclasses
        """Return the loaded value of one name; raises ValidationError."""
        return Text().deserialize(value)


class Text(fields.String):
    """A string, or a reference to one: `env:NAME` or `file:PATH`.

    `pattern` applies to the resolved text; `expected` completes the error message "must be …". With `blank`, the empty
    string is allowed too, but not as the value of a reference.
    """

    default_error_messages: _ErrorMessages = {  # noqa: RUF012 - marshmallow reads it off the class
        "required": "is missing",
        "null": "must be a string",
        "invalid": "must be a string",
    }

    def __init__(
        self, pattern: str = r"(?s:.+)", expected: str = "a non-empty string", *, blank: bool = False, **kwargs: Any
    ) -> None:
        matches_pattern = validate.Regexp(rf"({pattern}{'|' if blank else ''})\Z", error=f"must be {expected}")
        super().__init__(validate=[matches_pattern, *kwargs.pop("validate", ())], **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return _resolve_reference(super()._deserialize(value, attr, data, **kwargs))


def _resolve_reference(text: str) -> str:
    """Return the text, or what it refers to, without line breaks at the end; raises ValidationError."""
    kind, _, name = text.partition(":")
    if kind == "env":
        value = LoadContext.current().environ.get(name, "").rstrip("\r\n")
        if not value:
            raise ValidationError(f"the environment has no {name}")
        return value
    if kind == "file":
        try:
            value = Path(name).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError):  # ValueError: not UTF-8, or a NUL in the path
            raise ValidationError(f"the file {name} cannot be read") from None
        if not value:
            raise ValidationError(f"the file {name} is empty")
        return value
    return text


class Choice(Text):
    """One of several choices."""

    def __init__(self, choices: Iterable[str], **kwargs: Any) -> None:
        choices = tuple(choices)
        super().__init__("|".join(map(re.escape, choices)), f"one of {', '.join(choices)}", **kwargs)


class Url(Text):
    """An HTTP address without credentials and fragment, and without a query unless `query`.

    Loaded with the scheme in lower case; without a query also without a slash at the end.
    """

    def __init__(self, *, query: bool = False, **kwargs: Any) -> None:
        pattern = rf"{_URL_PATTERN}(\?(?:{_PATH_CHARACTER}|\?)*)?" if query else _URL_PATTERN
        super().__init__(pattern, "an address such as https://host/path", **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        scheme, separator, rest = super()._deserialize(value, attr, data, **kwargs).partition("://")
        return f"{scheme.lower()}{separator}{rest if '?' in rest else rest.rstrip('/')}"


class CaFile(Text):
    """The path of a file with certificates of authorities."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(blank=True, validate=[_check_ca_file], **kwargs)


def _check_ca_file(path: str) -> None:
    """Raise ValidationError unless certificates can be loaded from the file; the empty path is valid."""
    try:
        if path:
            ssl.create_default_context(cafile=path)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        raise ValidationError("must be the path of a readable file of PEM certificates") from None


class SecretText(fields.Field[Secret]):
    """A text that is loaded as a Secret; with `warn_if_literal`, one that is no reference causes a warning.

    A reference to a file is loaded as a FileSecret, which applies the field's rules to each new content of the file.
    """

    default_error_messages: _ErrorMessages = Text.default_error_messages

    def __init__(
        self,
        pattern: str = r"(?s:.+)",
        expected: str = "a non-empty string",
        *,
        warn_if_literal: bool = True,
        **kwargs: Any,
    ) -> None:
        self._rule = pattern, expected
        self._warn_if_literal = warn_if_literal
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Secret:  # noqa: ARG002 - marshmallow's signature
        context = LoadContext.current()
        if isinstance(value, str) and value.startswith(_FILE_PREFIX):
            # Picklable, because the master passes a valid configuration on to workers that start later.
            check_url = context.check_journal_url
            load = partial(_load_reference, value, self._rule, tuple(self.validators), check_url)
            return FileSecret(value.removeprefix(_FILE_PREFIX), load)
        secret = Secret(Text(*self._rule).deserialize(value))
        if self._warn_if_literal and not value.startswith(_REFERENCE_PREFIXES):
            context.warnings.append(f"{context.path}{attr}: is written out in the file; use env:NAME or file:PATH")
        return secret


def _load_reference(
    reference: str,
    rule: tuple[str, str],
    validators: Iterable[Callable[[Any], Any]],
    check_journal_url: Callable[[str], str | None],
) -> str:
    """Return the text that a reference to a file stands for; raises ValidationError if a rule refuses it."""
    context = LoadContext(document={}, environ={}, option_schemas={}, check_journal_url=check_journal_url)
    with context.activate():
        text = str(Text(*rule).deserialize(reference))
        for validator in validators:
            validator(Secret(text))
    return text


class SettleSeconds(fields.Field[float]):
    """The settle window of a connection, in seconds; one that may end before a create is visible causes a warning."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:  # noqa: ARG002 - marshmallow's signature
        seconds: float = Number().deserialize(value)
        if seconds < _COMMIT_SECONDS:
            context = LoadContext.current()
            context.warnings.append(
                f"{context.path}{attr}: is shorter than the {_COMMIT_SECONDS} seconds within which a create may still"
                " be applied; such a create would be reported as not applied"
            )
        return seconds


class Number(fields.Float):
    """A number greater than 0, or with `allow_zero` at least 0; TOML's booleans and strings are refused."""

    default_error_messages: _ErrorMessages = {"invalid": "must be a number"}  # noqa: RUF012 - marshmallow reads it off the class

    def __init__(self, *, maximum: float = 86_400.0, allow_zero: bool = False, **kwargs: Any) -> None:
        error = f"must be {'at least' if allow_zero else 'greater than'} 0 and at most {maximum:.15g}"
        super().__init__(
            validate=validate.Range(min=0, max=maximum, min_inclusive=allow_zero, error=error),
            error_messages={"special": error, "too_large": error},
            **kwargs,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if type(value) not in {int, float}:  # not isinstance(), because a bool is an int
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Integer(Number):
    """A whole number, which may be written as a float."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        number = super()._deserialize(value, attr, data, **kwargs)
        if not number.is_integer():
            raise ValidationError("must be a whole number")
        return int(number)


class Flag(fields.Field[bool]):
    """TOML's true or false."""

    default_error_messages: _ErrorMessages = {"invalid": "must be true or false"}  # noqa: RUF012 - marshmallow reads it off the class

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:  # noqa: ARG002 - marshmallow's signature
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class ListOf(fields.List[Any]):
    """A list; with `accept_single`, a string stands for a list that contains it."""

    default_error_messages: _ErrorMessages = {"required": "is missing", "invalid": "must be a list of strings"}  # noqa: RUF012 - marshmallow reads it off the class

    def __init__(self, item: fields.Field[Any], *, accept_single: bool = False, **kwargs: Any) -> None:
        self._accept_single = accept_single
        super().__init__(item, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if self._accept_single and isinstance(value, str):
            return [self.inner.deserialize(value)]
        return super()._deserialize(value, attr, data, **kwargs)


class ProxyList(ListOf):
    """The clients that are trusted as proxies: addresses, networks, or "unix" for a Unix socket."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Text(blank=True, validate=[_check_proxy]), **kwargs)


def _check_proxy(text: str) -> None:
    try:
        if text != "unix":
            ip_network(text)
    except ValueError:
        raise ValidationError("must be an address, a network such as 10.0.0.0/8, or unix") from None
