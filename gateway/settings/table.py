"""One table of a configuration, read setting by setting; every mistake is noted, none ends the reading."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

#: Told apart by exact type: TOML's true is no number.
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "a text": (str,),
    "a number": (int, float),
    "true or false": (bool,),
    "a list of texts": (list,),
    "a table": (dict,),
    "tables, each under [[…]]": (list,),
}


class ConfigurationError(Exception):
    """The configuration is wrong; `mistakes` holds one line each, and nothing was started."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


@dataclass(frozen=True)
class Secret:
    """A text that shows itself to nobody but who asks for `.value`."""

    value: str = field(repr=False)


class Table:
    """One table of the file, read setting by setting; mistakes and warnings collect in lists shared by all tables."""

    def __init__(self, values: Mapping[str, Any], path: str, source: Source) -> None:
        self._values = dict(values)
        self._path = path
        self._source = source

    def text(self, key: str, default: str | None = None, *, pattern: str = r"(?s:.+)", shape: str = "not empty") -> str:
        """Return a text, resolved where it says env:NAME or file:PATH; without a default it is required."""
        value = self._take(key, "a text", default)
        if not isinstance(value, str) or value == default:
            return default or ""
        value = self._source.resolve(value, self._at(key))
        if value is not None and not re.fullmatch(pattern, value):
            self.wrong(key, f"must be {shape}")
        return value or ""

    def choice(self, key: str, choices: Iterable[str], default: str | None = None) -> str:
        """Return one of the given words."""
        words = tuple(choices)
        return self.text(key, default, pattern="|".join(map(re.escape, words)), shape=f"one of {', '.join(words)}")

    def url(self, key: str, default: str | None = None) -> str:
        """Return an http(s) address without a trailing slash."""
        host = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
        port = r"(:([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}))?"  # up to 65499
        pattern = rf"https?://{host}{port}(/[A-Za-z0-9._~/-]*)?"
        return self.text(key, default, pattern=pattern, shape="an address such as https://host/path").rstrip("/")

    def secret(self, key: str) -> Secret:
        """Return a secret; written out in the file it is allowed, and warned about."""
        if isinstance(value := self._values.get(key), str) and not value.startswith(("env:", "file:")):
            self._source.warnings.append(f"{self._at(key)}: is written out in the file; say env:NAME or file:PATH")
        return Secret(self.text(key))

    def number(self, key: str, default: float, *, above: float = 0.0, most: float = 86400.0) -> float:
        """Return a number greater than `above` and at most `most`; the default may lie outside, to say *none*."""
        value = cast("float", self._take(key, "a number", default))
        if value != default and not above < value <= most:
            self.wrong(key, f"must be greater than {above:g} and at most {most:g}")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        return self._take(key, "true or false", default) is True

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, empty where it is not given."""
        value = cast("list[Any]", self._take(key, "a list of texts", []))
        if not all(isinstance(item, str) for item in value):
            self.wrong(key, "must be a list of texts")
        return tuple(item for item in value if isinstance(item, str))

    def one_or_more(self, key: str, pattern: str, shape: str) -> tuple[str, ...]:
        """Return the texts of a list, or the one text that stands in its place; empty where it is not given."""
        if not isinstance(self._values.get(key), list):
            return tuple(filter(None, [self.text(key, "", pattern=pattern, shape=shape)]))
        found = tuple(self._source.resolve(each, self._at(key)) or "" for each in self.texts(key))
        if not all(re.fullmatch(pattern, each) for each in found):
            self.wrong(key, f"must each be {shape}")
        return found

    def tables(self, key: str) -> tuple[Table, ...]:
        """Return the tables written under [[key]], none where it is not given."""
        values = cast("list[Any]", self._take(key, "tables, each under [[…]]", []))
        if not all(isinstance(each, dict) for each in values):
            self.wrong(key, "must be tables, each under [[…]]")
        each_at = ((f"{self._at(key)}[{number}]", each) for number, each in enumerate(values, 1))
        return tuple(Table(each, at, self._source) for at, each in each_at if isinstance(each, dict))

    def table(self, key: str) -> Table:
        """Return a table of this table, empty where it is not given."""
        value = self._take(key, "a table", {})
        return Table(value if isinstance(value, dict) else {}, self._at(key), self._source)

    def names(self) -> tuple[str, ...]:
        """Return the keys that nobody has read yet."""
        return tuple(self._values)

    def wrong(self, key: str, why: str) -> None:
        """Note a mistake."""
        self._source.mistakes.append(f"{self._at(key)}: {why}")

    def done(self) -> None:
        """Note every setting that nobody asked for: a misspelt one must not be ignored."""
        for key in self._values:
            self.wrong(key, "is not a setting")

    def _take(self, key: str, kind: str, default: object) -> object:
        if key not in self._values:
            if default is None:
                self.wrong(key, "is missing")
            return default
        value = self._values.pop(key)
        if type(value) not in _KINDS[kind]:
            self.wrong(key, f"must be {kind}")
            return default
        return value

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


@dataclass(frozen=True)
class Source:
    """Where values come from, and what was wrong with them."""

    environ: Mapping[str, str]
    mistakes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def resolve(self, value: str, at: str) -> str | None:
        """Return the value itself, or what env:NAME or file:PATH points to; None, and a mistake, where nothing is."""
        kind, _, where = value.partition(":")
        if kind == "env":
            if not self.environ.get(where):
                self.mistakes.append(f"{at}: the environment has no {where}")
            return self.environ.get(where) or None
        if kind == "file":
            try:
                return Path(where).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError):
                self.mistakes.append(f"{at}: the file {where} cannot be read")
                return None
        return value
