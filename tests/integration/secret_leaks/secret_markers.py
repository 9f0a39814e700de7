"""Secrets that a search can recognize in any encoding: `canary-<name>-<random>`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Final

from gateway.telemetry.redaction import encoded_variants

PREFIX: Final = "canary-"
_PREFIXES: Final = sorted(variant for variant in set(encoded_variants(PREFIX)) if len(variant) > 5)
#: Matches any marker, plain or encoded.
ANY: Final = re.compile("|".join(map(re.escape, _PREFIXES)))


class SecretMarkers:
    """The secrets of one run, by name; `values` may also have secrets that another system has created."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def make(self, name: str) -> str:
        """Return the secret of this name, and create it at the first call."""
        return self.values.setdefault(name, f"{PREFIX}{name}-{secrets.token_hex(8)}")

    def leaks(self, text: str) -> Iterator[str]:
        """Yield the names of the secrets in a text, and any other marker with its context."""
        for name, value in tuple(self.values.items()):
            if any(len(variant) > 5 and variant in text for variant in {*encoded_variants(value), value[:20]}):
                yield name
        if match := ANY.search(text):
            yield text[max(match.start() - 40, 0) : match.end() + 40]
