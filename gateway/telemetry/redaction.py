"""Removes secrets from text that is about to be logged: by the name in front of them, and by their value.

A secret is found in every usual encoding: plain, percent-encoded, base64, JSON. Most lines contain no secret, and every
line is checked, so the check is cheap whatever the number of known secrets. A long encoded secret is found by its
15-character prefix: at any offset in a line, the prefix covers one whole 8-byte word that starts at a multiple of 8,
and a set contains those words. So a secret whose end was cut off is found too.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

from gateway.settings import Secret
from gateway.telemetry.secret_patterns import MASK, PREFILTER, is_secret_name, mask

#: In characters. A shorter text occurs in words that are not secret.
MIN_SECRET_LENGTH: Final = 6
#: Bytes in front of the secret (modulo 3) -> leading base64 characters that depend on those bytes.
_SKIPPED_CHARACTERS: Final = {0: 0, 1: 2, 2: 3}
_WORD_LENGTH: Final = 8
#: The shortest text that covers an aligned word at every offset.
_PREFIX_LENGTH: Final = 2 * _WORD_LENGTH - 1
#: So many characters of a secret are encoded for the index: more than enough for the prefix of every encoding.
_ENCODED_LENGTH: Final = 2 * _PREFIX_LENGTH
#: The value of a secret extends to the first of these.
_VALUE_TERMINATORS: Final = r"\s\"'\\<>,;&"
#: How long a value that a secret no longer has is redacted, in seconds: a backend may still accept it.
_OLD_VALUE_TTL: Final = 7 * 86_400.0
_PASSWORD: Final = re.compile(r"://[^/?#\s@:]*:([^/?#\s@]+)@|\bpassword=([^&\s]+)")


class Redactor:
    """The secrets that this process knows; safe to share between threads and greenlets."""

    def __init__(self, secrets: Iterable[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # How often each secret was added and not removed, and how many secrets have each encoding.
        self._uses: Counter[str] = Counter()
        self._short_variants: Counter[str] = Counter()
        self._prefixes: Counter[str] = Counter()
        self._prefix_words: Counter[int] = Counter()
        self._temporary: dict[str, float] = {}  # secret -> the time on `clock` at which it expires
        self._lock = threading.Lock()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Redact a secret until it is removed as often; one of less than six characters is found by name only."""
        with self._lock:
            if len(secret) >= MIN_SECRET_LENGTH:
                self._uses[secret] += 1
                if self._uses[secret] == 1:
                    self._index_encodings(secret, 1)

    def follow(self, secret: Secret) -> None:
        """Redact a configured secret and each new value that it gets; an old value stays redacted for a week."""
        for part in _secret_parts(secret.value):
            self.add(part)
        secret.on_change(self._replace)

    def _replace(self, old: str, new: str) -> None:
        for part in _secret_parts(new):
            self.add(part)
        for part in _secret_parts(old):
            self.add_temporary(part, _OLD_VALUE_TTL)
            self.remove(part)

    def remove(self, secret: str) -> None:
        """Undo one `add`; without one, do nothing."""
        with self._lock:
            if secret in self._uses:
                _adjust(self._uses, secret, -1)
                if secret not in self._uses:
                    self._index_encodings(secret, -1)

    @contextmanager
    def hold(self, secret: str) -> Iterator[None]:
        """Redact a secret during a with block: a caller's credential, for as long as it is in flight."""
        self.add(secret)
        try:
            yield
        finally:
            self.remove(secret)

    def add_temporary(self, secret: str, seconds: float) -> None:
        """Redact a secret for `seconds`; another call starts the time again. Used for credentials that were replaced.

        Each call also removes the secrets whose time is over.
        """
        now = self._clock()
        if secret not in self._temporary:
            self.add(secret)
        self._temporary[secret] = now + seconds
        for expired in [known for known, expires_at in self._temporary.items() if expires_at <= now]:
            del self._temporary[expired]
            self.remove(expired)

    def may_contain_secret(self, text: str) -> bool:
        """Return whether a text may contain a secret; false positives are possible."""
        return PREFILTER.search(text.lower()) is not None or self._contains_secret(text)

    def redact(self, value: Any) -> Any:
        """Return a text or a JSON value with its secrets masked, also in keys; other objects become text."""
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

    def _contains_secret(self, text: str) -> bool:
        """Return whether a text may contain the value of a known secret."""
        for variant in tuple(self._short_variants):  # a copy, because other threads change the index
            if variant in text:
                return True
        if not self._prefix_words:
            return False
        # The bytes of the text as integers of 8 bytes each, padded with zeros to whole words.
        encoded = text.encode(errors="surrogatepass")
        aligned_words = memoryview(encoded + b"\0" * (-len(encoded) % _WORD_LENGTH)).cast("Q")
        return not self._prefix_words.keys().isdisjoint(aligned_words)

    def _redact_text(self, text: str) -> str:
        if self._contains_secret(text):
            variants = _full_variants(tuple(self._uses), tuple(self._short_variants))
            for variant in sorted(variants, key=len, reverse=True):  # the longest first: it may contain a shorter one
                text = text.replace(variant, MASK)
            # What is left of a long secret is masked from its prefix to the first terminator.
            for prefix in tuple(self._prefixes):
                if prefix in text:
                    text = re.sub(re.escape(prefix) + f"[^{_VALUE_TERMINATORS}]*", MASK, text)
        return mask(text)

    def _index_encodings(self, secret: str, change: int) -> None:
        """Add a secret's encodings to the index (`change` 1), or remove them (-1)."""
        for variant in set(encoded_variants(secret[:_ENCODED_LENGTH])):
            if len(variant) < MIN_SECRET_LENGTH:
                continue
            prefix = variant[:_PREFIX_LENGTH]
            if len(prefix) < _PREFIX_LENGTH:
                _adjust(self._short_variants, variant, change)
                continue
            _adjust(self._prefixes, prefix, change)
            encoded = prefix.encode(errors="surrogatepass")
            # Wherever the prefix stands in a line, one of its eight words starts at a multiple of 8 of the line.
            for start in range(_WORD_LENGTH):
                word = int.from_bytes(encoded[start : start + _WORD_LENGTH], sys.byteorder)
                _adjust(self._prefix_words, word, change)


def collect_secrets(settings: Any) -> Iterator[str]:
    """Yield the values of the secrets in settings; of a URL, only the password."""
    for secret in find_secrets(settings):
        yield from _secret_parts(secret.value)


def find_secrets(settings: Any) -> Iterator[Secret]:
    """Yield the secrets in settings (dataclasses, sequences, mappings)."""
    if isinstance(settings, Secret):
        yield settings
    elif is_dataclass(settings):
        for field in fields(settings):
            yield from find_secrets(getattr(settings, field.name))
    elif isinstance(settings, Mapping):
        yield from find_secrets(tuple(settings.values()))
    elif isinstance(settings, tuple | list | set | frozenset):
        for item in settings:
            yield from find_secrets(item)


def _secret_parts(value: str) -> Iterator[str]:
    """Yield a value that is no URL, and the passwords in it, as they are written and decoded."""
    if "://" not in value:
        yield value
    for match in _PASSWORD.finditer(value):
        password = match[1] or match[2]
        yield password
        yield unquote(password)


def _full_variants(secrets: Iterable[str], short_variants: Iterable[str]) -> set[str]:
    """Return the encodings that are replaced as a whole: short ones, and those of secrets that contain a terminator."""
    with_terminator = (secret for secret in secrets if re.search(f"[{_VALUE_TERMINATORS}]", secret))
    encoded = (variant for secret in with_terminator for variant in encoded_variants(secret))
    return {*short_variants, *(variant for variant in encoded if len(variant) >= MIN_SECRET_LENGTH)}


def encoded_variants(secret: str) -> Iterator[str]:
    """Yield every encoding of a secret, some more than once; in base64, at every alignment."""
    yield secret
    yield quote(secret, safe="", errors="replace")
    yield quote(secret, errors="replace")
    yield quote_plus(secret, errors="replace")
    for ensure_ascii in (True, False):
        escaped = _json_escape(secret, ensure_ascii=ensure_ascii)
        yield escaped
        yield _json_escape(escaped, ensure_ascii=ensure_ascii)
    yield repr(secret)[1:-1]
    yield from _base64(secret.encode(errors="replace"), b64encode)
    yield from _base64(secret.encode(errors="replace"), urlsafe_b64encode)


def _json_escape(value: str, *, ensure_ascii: bool) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii)[1:-1]


def _base64(value: bytes, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    """Yield the base64 characters that depend on the value alone, for each number of bytes in front of it."""
    for prefix_length, skipped in _SKIPPED_CHARACTERS.items():
        end = (prefix_length + len(value)) * 8 // 6  # the character after it depends on the bytes that follow
        yield encode(b"\0" * prefix_length + value)[skipped:end].decode()


def _adjust(counter: Counter[Any], key: Any, change: int) -> None:
    """Change a count, and delete the key at zero."""
    counter[key] += change
    if counter[key] <= 0:
        del counter[key]
