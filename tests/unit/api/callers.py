"""Callers as a configuration describes them."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from gateway.domain.callers import AllowRule
from gateway.settings import AuthConfig, CallerConfig


def caller(name: str, *allow: str, **credentials: Any) -> CallerConfig:
    """Return a caller whose API key is `NAME-key`, unless other credentials are given."""
    defaults = (
        {}
        if credentials.keys() & {"claims", "spiffe"}
        else {"key_digests": (sha256(f"{name}-key".encode()).hexdigest(),)}
    )
    return CallerConfig(name=name, allow=tuple(map(AllowRule.parse, allow)), **(defaults | credentials))


def auth(*entries: CallerConfig, **settings: Any) -> AuthConfig:
    """Return settings that require authentication."""
    return AuthConfig(required=True, callers=entries, **settings)


def key(name: str) -> dict[str, str]:
    """Return the header that authenticates `caller(name)`."""
    return {"X-Api-Key": f"{name}-key"}
