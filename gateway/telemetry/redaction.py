"""Takes secrets out of what is about to be written: by the name in front of them, and by their very characters.

Most lines hold none, and each is looked at; so the look is cheap, however many secrets are known. A long spelling is
found by its beginning: wherever it stands in a line, eight bytes of its first fifteen begin at a multiple of eight,
and a set knows those words. What is cut off later than that is found too.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Final
from urllib.parse import unquote

from gateway.settings import Secret
from gateway.telemetry.secret_encodings import MIN_SECRET_LENGTH, encoded_variants
from gateway.telemetry.secret_patterns import HINT, MASK, is_secret, mask

_WORD: Final = 8
_HEAD: Final = 2 * _WORD - 1
#: So many characters of a long value say what its spellings begin with.
_ENOUGH: Final = 2 * _HEAD
#: A caller who sends another credential with every request takes no more memory than this many do.
_MOST_LENT: Final = 1000
#: A secret goes on for as long as these do not come.
_END: Final = r"\s\"'\\<>,;&"
_PASSWORD: Final = re.compile(r"://[^/?#\s@:]*:([^/?#\s@]+)@|\bpassword=([^&\s]+)")


class Redactor:
    """The secrets that this process knows at the moment; safe to share between threads and greenlets."""

    def __init__(self, values: Iterable[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: Counter[str] = Counter()
        self._short: Counter[str] = Counter()
        self._heads: Counter[str] = Counter()
        self._words: Counter[int] = Counter()
        self._lent: OrderedDict[str, float] = OrderedDict()
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        """Know a value until it is forgotten as often; one of less than six characters is known by name alone."""
        self._count(value, 1)

    def remove(self, value: str) -> None:
        """Undo one `add`."""
        if value in self._values:
            self._count(value, -1)

    def add_temporary(self, value: str, seconds: float) -> None:
        """Know a value for so long from now on: somebody else's, of which nothing may be kept for good."""
        now = self._clock()
        if value not in self._lent:
            self.add(value)
        self._lent[value] = now + seconds
        self._lent.move_to_end(value)
        while self._lent:
            oldest, until = next(iter(self._lent.items()))
            if until > now and len(self._lent) <= _MOST_LENT:
                break
            del self._lent[oldest]
            self.remove(oldest)

    def suspects(self, text: str) -> bool:
        """Tell whether a text may hold a secret; where not, there is nothing to take out of it."""
        return HINT.search(text.lower()) is not None or self._holds_value(text)

    def clean(self, value: Any) -> Any:
        """Return a text, or what JSON can say, without its secrets; keys stay, and so does what is no text."""
        if isinstance(value, str):
            return self._clean(value) if self.suspects(value) else value
        if isinstance(value, Mapping):
            return {self.clean(str(name)): self._behind(str(name), each) for name, each in value.items()}
        if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
            return [self.clean(each) for each in value]
        return value if value is None or isinstance(value, bool | int | float) else self.clean(str(value))

    def _behind(self, name: str, value: Any) -> Any:
        """Clean what stands behind a name; a table behind a secret's name is looked through all the same."""
        if is_secret(name) and not isinstance(value, Mapping | bool | None):
            return MASK
        return self.clean(value)

    def _holds_value(self, text: str) -> bool:
        for short in tuple(self._short):
            if short in text:
                return True
        if not self._words:
            return False
        line = text.encode(errors="surrogatepass")
        aligned = memoryview(line + b"\0" * (-len(line) % _WORD)).cast("Q")
        return not self._words.keys().isdisjoint(aligned)

    def _clean(self, text: str) -> str:
        if self._holds_value(text):
            for known in sorted(_whole(tuple(self._values), tuple(self._short)), key=len, reverse=True):
                text = text.replace(known, MASK)
            for head in tuple(self._heads):
                if head in text:
                    text = re.sub(re.escape(head) + f"[^{_END}]*", MASK, text)
        return mask(text)

    def _count(self, value: str, times: int) -> None:
        """File a value's spellings, or take them out; a counter that has come to nothing is no key any more."""
        if len(value) < MIN_SECRET_LENGTH:
            return
        _change(self._values, value, times)
        for spelling in set(encoded_variants(value if len(value) <= _ENOUGH else value[:_ENOUGH])):
            if len(spelling) < MIN_SECRET_LENGTH:
                continue
            head = spelling[:_HEAD]
            if len(head) < _HEAD:
                _change(self._short, spelling, times)
                continue
            _change(self._heads, head, times)
            first = head.encode(errors="surrogatepass")
            for start in range(_WORD):
                _change(self._words, int.from_bytes(first[start : start + _WORD], sys.byteorder), times)


def collect_secrets(settings: Any) -> Iterator[str]:
    """Yield what the settings keep secret: walks dataclasses, sequences and mappings; of an address its password."""
    if isinstance(settings, Secret):
        yield from _secret(settings.value)
    elif is_dataclass(settings):
        for each in fields(settings):
            yield from collect_secrets(getattr(settings, each.name))
    elif isinstance(settings, Mapping):
        yield from collect_secrets(tuple(settings.values()))
    elif isinstance(settings, tuple | list | set | frozenset):
        for item in settings:
            yield from collect_secrets(item)


def _secret(value: str) -> Iterator[str]:
    if "://" not in value:
        yield value
    for match in _PASSWORD.finditer(value):
        password = match[1] or match[2]
        yield password
        yield unquote(password)


def _whole(values: Iterable[str], short: Iterable[str]) -> set[str]:
    """Return what is taken out as a whole: spellings that are short, or that go on behind what ends a word."""
    odd = (value for value in values if re.search(f"[{_END}]", value))
    return {*short, *(each for value in odd for each in encoded_variants(value) if len(each) >= MIN_SECRET_LENGTH)}


def _change(counter: Counter[Any], key: Any, times: int) -> None:
    counter[key] += times
    if counter[key] <= 0:
        del counter[key]
