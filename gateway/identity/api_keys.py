"""API keys: the configuration contains digests, a request contains the key."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

from gateway.domain.callers import Caller


class ApiKeyStore:
    """The digests of all API keys; a key is long and random, so one plain SHA-256 is enough."""

    def __init__(self, callers: Iterable[tuple[str, Caller]]) -> None:
        """Store digests in lower-case hexadecimal, with their callers."""
        self._callers = tuple((digest.encode(), caller) for digest, caller in callers)

    def find_caller(self, key: str) -> Caller | None:
        """Return the caller of a key; all digests are compared, each in constant time."""
        key_digest = sha256(key.encode(errors="surrogateescape")).hexdigest().encode()
        match = None
        for digest, caller in self._callers:
            if hmac.compare_digest(digest, key_digest):
                match = caller
        return match
