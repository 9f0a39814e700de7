"""Callers as a configuration describes them, for the tests of what they may do."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from gateway.domain.callers import Rule
from gateway.settings import Auth, Entry


def caller(name: str, *allow: str, **proofs: Any) -> Entry:
    """Describe a caller whose API key is `NAME-key`, unless other proofs are given."""
    usual = (
        {} if proofs.keys() & {"claims", "spiffe"} else {"key_digests": (sha256(f"{name}-key".encode()).hexdigest(),)}
    )
    return Entry(name=name, allow=tuple(map(Rule.parse, allow)), **(usual | proofs))


def auth(*entries: Entry, **settings: Any) -> Auth:
    """Ask everybody for a proof."""
    return Auth(required=True, entries=entries, **settings)


def key(name: str) -> dict[str, str]:
    """Return the header by which `caller(name)` is known."""
    return {"X-Api-Key": f"{name}-key"}
