"""Secrets that can be recognized wherever they turn up: `canary-<name>-<random>`, in any spelling."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Final

from gateway.telemetry.secret_encodings import encoded_variants

PREFIX: Final = "canary-"
#: Any marker, whoever made it, as it is or in base64.
ANY: Final = re.compile("|".join(re.escape(each) for each in sorted(set(encoded_variants(PREFIX))) if len(each) > 5))


class Markers:
    """The secrets of one run, by name."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def make(self, name: str) -> str:
        """Return the secret of that name, a new one the first time."""
        return self.values.setdefault(name, f"{PREFIX}{name}-{secrets.token_hex(8)}")

    def know(self, name: str, value: str) -> str:
        """Watch for a secret that somebody else has made."""
        self.values[name] = value
        return value

    def leaks(self, text: str) -> Iterator[str]:
        """Yield the names of the secrets that a text holds, and what else looks like one of a test."""
        for name, value in tuple(self.values.items()):
            if any(len(each) > 5 and each in text for each in {*encoded_variants(value), value[:20]}):
                yield name
        if found := ANY.search(text):
            yield text[max(found.start() - 40, 0) : found.end() + 40]
