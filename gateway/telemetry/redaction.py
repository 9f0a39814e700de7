"""Removes secrets from text that is about to be logged: by the name in front of them, and by their value.

Most lines contain no secret, and every line is checked, so the check is cheap whatever the number of known secrets. A
long encoded secret is found by its 15-character prefix: at any offset in a line, the prefix covers one whole 8-byte
word that starts at a multiple of 8, and a set contains those words. So a secret that was cut off later is found too.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, Final
from urllib.parse import unquote

from gateway.settings import Secret
from gateway.telemetry.secret_encodings import MIN_SECRET_LENGTH, encoded_variants
from gateway.telemetry.secret_patterns import MASK, PREFILTER, is_secret_name, mask

_WORD_LENGTH: Final = 8
_PREFIX_LENGTH: Final = 2 * _WORD_LENGTH - 1
#: As many characters of a value decide the prefixes of all its encodings.
_ENCODED_LENGTH: Final = 2 * _PREFIX_LENGTH
#: The value of a secret extends to the first of these.
_VALUE_TERMINATORS: Final = r"\s\"'\\<>,;&"
_PASSWORD: Final = re.compile(r"://[^/?#\s@:]*:([^/?#\s@]+)@|\bpassword=([^&\s]+)")


class Redactor:
    """The secrets that this process knows; safe to share between threads and greenlets."""

    def __init__(self, values: Iterable[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: Counter[str] = Counter()
        self._short_variants: Counter[str] = Counter()
        self._prefixes: Counter[str] = Counter()
        self._prefix_words: Counter[int] = Counter()
        self._temporary: dict[str, float] = {}
        self._lock = threading.Lock()
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Redact a value until it is removed as often; one of less than six characters is found by name only."""
        self._index(value, 1)

    def remove(self, value: str) -> None:
        """Undo one `add`."""
        self._index(value, -1)

    @contextmanager
    def hold(self, value: str) -> Iterator[None]:
        """Redact a value during a with block: a caller's credential, for as long as it is in flight."""
        self.add(value)
        try:
            yield
        finally:
            self.remove(value)

    def add_temporary(self, value: str, seconds: float) -> None:
        """Redact a value for this time, counted from the last call: a credential that was replaced."""
        now = self._clock()
        if value not in self._temporary:
            self.add(value)
        self._temporary[value] = now + seconds
        for expired in [name for name, expires_at in self._temporary.items() if expires_at <= now]:
            del self._temporary[expired]
            self.remove(expired)

    def may_contain_secret(self, text: str) -> bool:
        """Return whether a text may contain a secret; false positives are possible."""
        return PREFILTER.search(text.lower()) is not None or self._contains_value(text)

    def redact(self, value: Any) -> Any:
        """Return a text or a JSON value with its secrets masked; keys stay, other objects become text."""
        if isinstance(value, str):
            return self._redact_text(value) if self.may_contain_secret(value) else value
        if isinstance(value, Mapping):
            return {self.redact(str(name)): self._redact_field(str(name), item) for name, item in value.items()}
        if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
            return [self.redact(item) for item in value]
        return value if value is None or isinstance(value, bool | int | float) else self.redact(str(value))

    def _redact_field(self, name: str, value: Any) -> Any:
        """Return a field's redacted value; an object with a secret's name is redacted field by field."""
        if is_secret_name(name) and not isinstance(value, Mapping | bool | None):
            return MASK
        return self.redact(value)

    def _contains_value(self, text: str) -> bool:
        for variant in tuple(self._short_variants):
            if variant in text:
                return True
        if not self._prefix_words:
            return False
        encoded = text.encode(errors="surrogatepass")
        aligned_words = memoryview(encoded + b"\0" * (-len(encoded) % _WORD_LENGTH)).cast("Q")
        return not self._prefix_words.keys().isdisjoint(aligned_words)

    def _redact_text(self, text: str) -> str:
        if self._contains_value(text):
            variants = _full_variants(tuple(self._values), tuple(self._short_variants))
            for variant in sorted(variants, key=len, reverse=True):
                text = text.replace(variant, MASK)
            for prefix in tuple(self._prefixes):
                if prefix in text:
                    text = re.sub(re.escape(prefix) + f"[^{_VALUE_TERMINATORS}]*", MASK, text)
        return mask(text)

    def _index(self, value: str, change: int) -> None:
        """Count a use of a value (`change` 1) or its end (-1); its encodings are indexed from the first to the last."""
        with self._lock:
            uses = self._values[value]
            if len(value) >= MIN_SECRET_LENGTH and uses + change >= 0:
                _adjust(self._values, value, change)
                if min(uses, uses + change) == 0:
                    self._index_encodings(value, change)

    def _index_encodings(self, value: str, change: int) -> None:
        """Add a value's encodings to the index (`change` 1), or remove them (-1)."""
        for variant in set(encoded_variants(value if len(value) <= _ENCODED_LENGTH else value[:_ENCODED_LENGTH])):
            if len(variant) < MIN_SECRET_LENGTH:
                continue
            prefix = variant[:_PREFIX_LENGTH]
            if len(prefix) < _PREFIX_LENGTH:
                _adjust(self._short_variants, variant, change)
                continue
            _adjust(self._prefixes, prefix, change)
            encoded = prefix.encode(errors="surrogatepass")
            for start in range(_WORD_LENGTH):
                word = int.from_bytes(encoded[start : start + _WORD_LENGTH], sys.byteorder)
                _adjust(self._prefix_words, word, change)


def collect_secrets(settings: Any) -> Iterator[str]:
    """Yield the secrets in settings (dataclasses, sequences, mappings); of a URL, only the password."""
    if isinstance(settings, Secret):
        yield from _secret_parts(settings.value)
    elif is_dataclass(settings):
        for field in fields(settings):
            yield from collect_secrets(getattr(settings, field.name))
    elif isinstance(settings, Mapping):
        yield from collect_secrets(tuple(settings.values()))
    elif isinstance(settings, tuple | list | set | frozenset):
        for item in settings:
            yield from collect_secrets(item)


def _secret_parts(value: str) -> Iterator[str]:
    if "://" not in value:
        yield value
    for match in _PASSWORD.finditer(value):
        password = match[1] or match[2]
        yield password
        yield unquote(password)


def _full_variants(values: Iterable[str], short_variants: Iterable[str]) -> set[str]:
    """Return the encodings that are replaced as a whole: short ones, and those that contain a terminator."""
    terminated = (value for value in values if re.search(f"[{_VALUE_TERMINATORS}]", value))
    encoded = (variant for value in terminated for variant in encoded_variants(value))
    return {*short_variants, *(variant for variant in encoded if len(variant) >= MIN_SECRET_LENGTH)}


def _adjust(counter: Counter[Any], key: Any, change: int) -> None:
    """Change a count, and delete the key at zero."""
    counter[key] += change
    if counter[key] <= 0:
        del counter[key]
