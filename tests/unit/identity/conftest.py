"""An issuer of tokens, valid and invalid ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.domain.callers import AllowRule
from gateway.domain.errors import BackendUnavailable
from gateway.identity.jwks import JwksCache
from gateway.identity.jwt import JwtAuthenticator
from gateway.settings import CallerConfig, JwtConfig
from tests.conftest import VirtualClock

ISSUER: Final = JwtConfig(
    issuer="https://login.example.com/",
    audience="module-gateway",
    jwks_url="https://login.example.com/keys",
    algorithms=("RS256", "ES256"),
    user_claim="",
    refresh_seconds=300.0,
    ca_file="",
)
PORTAL: Final = CallerConfig(name="portal", allow=(AllowRule.parse("*:*:*"),), claims={"azp": "portal"})
#: Generating a key of 2048 bits takes a tenth of a second, so all tests share two.
_RSA: Final = tuple(rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
_EC: Final = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Login:
    """The issuer: its clock is the gateway's, its keys can be changed, and it can be unavailable."""

    clock: VirtualClock
    shown: list[dict[str, Any]] = field(default_factory=list)
    fetches: int = 0
    down: bool = False
    response: Any = None  # instead of a set of keys

    def show(self, *names: str) -> None:
        """Publish these keys and no others: rsa-0, rsa-1, ec-0."""
        self.shown = [self.public(name) for name in names]

    def public(self, name: str) -> dict[str, Any]:
        key = self.private(name)
        algorithm = jwt.algorithms.ECAlgorithm if name.startswith("ec") else jwt.algorithms.RSAAlgorithm
        document: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
        return {**document, "kid": name, "use": "sig"}

    @staticmethod
    def private(name: str) -> Any:
        return _EC if name.startswith("ec") else _RSA[int(name[-1])]

    def fetch(self) -> Any:
        """Return the response of the JWKS URL."""
        self.fetches += 1
        if self.down:
            raise BackendUnavailable
        return {"keys": list(self.shown)} if self.response is None else self.response

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self.clock.now())
        defaults = {"iss": ISSUER.issuer, "aud": ISSUER.audience, "exp": now + 300, "sub": "alice", "azp": "portal"}
        return {name: value for name, value in (defaults | changes).items() if value is not None}

    def token(self, name: str = "rsa-0", algorithm: str = "RS256", **changes: Any) -> str:
        """Return a signed token; a claim of None is omitted."""
        return jwt.encode(self.claims(**changes), self.private(name), algorithm=algorithm, headers={"kid": name})

    def tokens(self, *callers: CallerConfig, issuer: JwtConfig = ISSUER) -> JwtAuthenticator:
        """Return an authenticator for tokens of this issuer."""
        return JwtAuthenticator(
            ((issuer, JwksCache(issuer, self.fetch, self.clock)),), callers or (PORTAL,), self.clock
        )


@pytest.fixture
def login(clock: VirtualClock) -> Login:
    issuer = Login(clock)
    issuer.show("rsa-0", "ec-0")
    return issuer
