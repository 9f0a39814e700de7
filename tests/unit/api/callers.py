"""Callers as a configuration describes them, for the tests of what they may do."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from gateway.domain.callers import AllowRule
from gateway.settings import AuthConfig, CallerConfig


def caller(name: str, *allow: str, **proofs: Any) -> CallerConfig:
    """Describe a caller whose API key is `NAME-key`, unless other proofs are given."""
    usual = (
        {} if proofs.keys() & {"claims", "spiffe"} else {"key_digests": (sha256(f"{name}-key".encode()).hexdigest(),)}
    )
    return CallerConfig(name=name, allow=tuple(map(AllowRule.parse, allow)), **(usual | proofs))


def auth(*entries: CallerConfig, **settings: Any) -> AuthConfig:
    """Ask everybody for a proof."""
    return AuthConfig(required=True, callers=entries, **settings)


def key(name: str) -> dict[str, str]:
    """Return the header by which `caller(name)` is known."""
    return {"X-Api-Key": f"{name}-key"}
