"""API keys: the configuration holds their digests, a request the key itself."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256

from gateway.domain.callers import Caller


class ApiKeyStore:
    """All keys that are known; a key is long and random, so that one plain SHA-256 of it is enough."""

    def __init__(self, known: Iterable[tuple[str, Caller]]) -> None:
        """Take digests in lower-case hexadecimal."""
        self._known = tuple((digest.encode(), caller) for digest, caller in known)

    def caller(self, key: str) -> Caller | None:
        """Return whose key it is; every digest is compared, each in constant time, wherever the right one stands."""
        digest = sha256(key.encode(errors="surrogateescape")).hexdigest().encode()
        found = None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        return found
