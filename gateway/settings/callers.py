"""Who may call: the tables [auth] and [[callers]]."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final

from gateway.domain.callers import AllowRule
from gateway.settings.table import Table

#: Signatures by a private key alone: a secret shared with the issuer could sign for anybody.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_UNIX: Final = "unix"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerConfig:
    """One caller as the operator describes him, and the proofs by which he is known."""

    name: str
    allow: tuple[AllowRule, ...]
    key_digests: tuple[str, ...] = ()  # SHA-256 in lower-case hexadecimal; several while a key is being changed
    claims: Mapping[str, str] = field(default_factory=dict)  # that a token must carry
    spiffe: str = ""  # the URI of his certificate in the mesh
    acting_user: str = ""  # the user sent to a backend that wants to know one
    requests_per_second: float = 0.0  # 0: no limit of his own


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtConfig:
    """Who signs the tokens that are believed."""

    issuer: str
    audience: str
    jwks_url: str
    algorithms: tuple[str, ...]
    user_claim: str  # names the user behind the caller; empty: none
    refresh_seconds: float
    ca_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig:
    """How callers prove who they are."""

    required: bool = False
    entries: tuple[CallerConfig, ...] = ()
    issuer: JwtConfig | None = None
    trusted_hops: tuple[str, ...] = ()  # networks, or "unix": whose X-Forwarded-Client-Cert is believed


def read_auth(root: Table, connections: Collection[str]) -> AuthConfig:
    """Read both tables; what is not needed without authentication is read all the same."""
    table = root.table("auth")
    required = table.choice("mode", ("none", "required"), "none") == "required"
    issuer = _issuer(table.table("jwt")) if "jwt" in table.names() else None
    mesh = table.table("mesh")
    hops = mesh.texts("trusted_hops")
    for hop in hops:
        if not _is_network(hop):
            mesh.wrong("trusted_hops", f"{hop} is neither an address, nor a network, nor unix")
    mesh.done()
    entries = tuple(_entry(each, connections) for each in root.tables("callers"))
    _check_unique(root, entries)
    if required and not entries:
        table.wrong("mode", "is required, and there are no [[callers]]")
    table.done()
    return AuthConfig(required=required, entries=entries, issuer=issuer, trusted_hops=hops)


def _issuer(table: Table) -> JwtConfig:
    algorithms = table.texts("algorithms")
    if unknown := [each for each in algorithms if each not in ALGORITHMS]:
        table.wrong("algorithms", f"{', '.join(unknown)} cannot be used; there are {', '.join(ALGORITHMS)}")
    if not algorithms:
        table.wrong("algorithms", "must name those that the issuer signs with")
    found = JwtConfig(
        issuer=table.text("issuer"),
        audience=table.text("audience"),
        jwks_url=table.url("jwks_url"),
        algorithms=algorithms,
        user_claim=table.text("user_claim", ""),
        refresh_seconds=table.number("refresh_seconds", 300.0),
        ca_file=table.text("ca_file", ""),
    )
    table.done()
    return found


def _entry(table: Table, connections: Collection[str]) -> CallerConfig:
    claims = table.table("jwt_claims")
    found = CallerConfig(
        name=table.text("name", pattern=_NAME.pattern, shape="at most 64 of A-Z a-z 0-9 . _ -"),
        allow=tuple(_rules(table, connections)),
        key_digests=tuple(
            each.lower() for each in table.one_or_more("api_key_sha256", "[0-9A-Fa-f]{64}", "64 hexadecimal digits")
        ),
        claims={name: claims.text(name) for name in claims.names()},
        spiffe=table.text("spiffe", "", pattern=r"spiffe://[^\s,;\"]+", shape="spiffe://…"),
        acting_user=table.text("acts_as", "", pattern=r"[\x21-\x7e]{1,64}", shape="a user's name"),
        requests_per_second=table.number("requests_per_second", 0.0, most=1e6),
    )
    if not (found.key_digests or found.claims or found.spiffe):
        table.wrong("name", "has no proof: give api_key_sha256, jwt_claims or spiffe")
    table.done()
    return found


def _rules(table: Table, connections: Collection[str]) -> Iterator[AllowRule]:
    for text in table.texts("allow"):
        try:
            rule = AllowRule.parse(text)
        except ValueError as error:
            table.wrong("allow", f"{text}: {error}")
            continue
        if rule.connection is not None and rule.connection not in connections:
            table.wrong("allow", f"{text}: there is no connection {rule.connection}")
        yield rule


def _check_unique(root: Table, entries: tuple[CallerConfig, ...]) -> None:
    """Make sure that a proof leads to one caller, and a name to one set of operations."""
    for what, values in (
        ("name", [each.name for each in entries]),
        ("api_key_sha256", [digest for each in entries for digest in each.key_digests]),
        ("spiffe", [each.spiffe for each in entries if each.spiffe]),
        ("jwt_claims", [repr(sorted(each.claims.items())) for each in entries if each.claims]),
    ):
        if len(values) != len(set(values)):
            root.wrong("callers", f"two of them have the same {what}")


def _is_network(text: str) -> bool:
    try:
        return text == _UNIX or ip_network(text) is not None
    except ValueError:
        return False
