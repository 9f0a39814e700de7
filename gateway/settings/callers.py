"""The tables [auth] and [[callers]]: who may call, and how callers authenticate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from marshmallow import ValidationError, fields, validate, validates_schema

from gateway.domain.callers import AllowRule, is_local_address
from gateway.settings.fields import (
    CaFile,
    Choice,
    ListOf,
    LoadContext,
    NamedItems,
    Number,
    ProxyList,
    SettingsSchema,
    Table,
    Text,
    Url,
)  # fmt: skip

#: Asymmetric signatures only: the verifier of an HMAC could also sign.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_DEFAULT_BIND: Final = "127.0.0.1:8000"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerConfig:
    """A caller: its permissions and its credentials."""

    name: str
    allow: tuple[AllowRule, ...] = ()
    key_digests: tuple[str, ...] = ()  # SHA-256 in lower-case hexadecimal; several while a key is being replaced
    claims: Mapping[str, str] = field(default_factory=dict)  # names and values that a token must have
    spiffe: str = ""  # the URI of its certificate in the mesh
    acting_user: str = ""  # the user that is sent to a backend that records one
    requests_per_second: float = 0.0  # 0: no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtConfig:
    """The issuer of tokens, and what a token must have."""

    issuer: str
    audience: str
    jwks_url: str
    algorithms: tuple[str, ...]
    user_claim: str = ""  # the claim that names the user of the caller; empty: tokens name no user
    refresh_seconds: float = 300.0
    ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig:
    """How callers authenticate."""

    required: bool = False
    callers: tuple[CallerConfig, ...] = ()
    jwt: tuple[JwtConfig, ...] = ()  # the issuers of tokens
    trusted_proxies: tuple[str, ...] = ()  # networks or "unix"; their X-Forwarded-Client-Cert is trusted


class _AllowRuleField(fields.Field[AllowRule]):
    """An entry of an allow-list; a connection that it names must be in the file, but need not be valid."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> AllowRule:  # noqa: ARG002 - marshmallow's signature
        text = Text().deserialize(value)
        try:
            rule = AllowRule.parse(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        backends = LoadContext.current().document.get("backends")
        if rule.connection is not None and isinstance(backends, dict) and rule.connection not in backends:
            raise ValidationError(f"there is no connection {rule.connection}")
        return rule


class _DigestField(Text):
    """A SHA-256 digest in hexadecimal, in lower or upper case."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, attr, data, **kwargs).lower()


class CallerSchema(SettingsSchema):
    """One of the tables [[callers]]."""

    target = CallerConfig

    name = Text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "at most 64 of A-Z a-z 0-9 . _ -", required=True)
    allow = ListOf(_AllowRuleField())
    api_key_sha256 = ListOf(
        _DigestField("[0-9A-Fa-f]{64}", "64 hexadecimal digits"), accept_single=True, attribute="key_digests"
    )
    jwt_claims = NamedItems(attribute="claims")
    spiffe = Text(r"spiffe://[^\s,;\"]+", "a URI such as spiffe://cluster.local/ns/web/sa/portal", blank=True)
    acts_as = Text(
        r"[\x21-\x7e]{1,64}", "a user name of at most 64 visible ASCII characters", blank=True, attribute="acting_user"
    )
    requests_per_second = Number(maximum=1e6, allow_zero=True)

    @validates_schema(skip_on_field_errors=False, pass_original=True)
    def check_credentials(self, data: dict[str, Any], original: Any, **_kwargs: Any) -> None:
        """Refuse a caller without a credential, or with the name or a credential of an earlier caller.

        The check for a credential reads the original table, so that an invalid credential is not also reported as a
        missing one.
        """
        errors: dict[str | None, list[str]] = {}
        if isinstance(original, dict) and not any(
            original.get(key) for key in ("api_key_sha256", "jwt_claims", "spiffe")
        ):
            errors[None] = ["needs a credential: api_key_sha256, jwt_claims or spiffe"]
        used = LoadContext.current().used_identifiers
        for key, values in (
            ("name", [data.get("name")]),
            ("api_key_sha256", data.get("key_digests", [])),
            ("jwt_claims", [tuple(sorted(data.get("claims", {}).items()))]),
            ("spiffe", [data.get("spiffe")]),
        ):
            for value in filter(None, values):
                if (key, value) in used:
                    errors[key] = ["must be unique; an earlier caller has the same"]
                used.add((key, value))
        if errors:
            raise ValidationError(errors)


class JwtSchema(SettingsSchema):
    """The table [auth.jwt]."""

    target = JwtConfig

    issuer = Text(required=True)
    audience = Text(required=True)
    jwks_url = Url(query=True, required=True)
    algorithms = ListOf(
        Choice(ALGORITHMS),
        required=True,
        validate=validate.Length(min=1, error="must name the algorithms that the issuer signs with"),
    )
    user_claim = Text(blank=True)
    refresh_seconds = Number()
    ca_file = CaFile()


class _IssuerList(ListOf):
    """One issuer as the table [auth.jwt], or several as tables [[auth.jwt]]."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(JwtSchema), error_messages={"invalid": "must be a table, or tables"}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, dict):
            return [self.inner.deserialize(value)]
        issuers: list[Any] = super()._deserialize(value, attr, data, **kwargs)
        if len({issuer.issuer for issuer in issuers}) < len(issuers):
            raise ValidationError("must have different issuers")
        return issuers


class MeshSchema(SettingsSchema):
    """The table [auth.mesh]."""

    trusted_hops = ProxyList(attribute="trusted_proxies")


class AuthSchema(SettingsSchema):
    """The table [auth]."""

    mode = Choice(("none", "required"), load_default="none")
    jwt = _IssuerList(load_default=())
    mesh = Table(MeshSchema)

    @validates_schema(skip_on_field_errors=False)
    def check_mode(self, data: dict[str, Any], **_kwargs: Any) -> None:
        """Refuse mode "required" without callers, and mode "none" on an address that other machines can reach."""
        context = LoadContext.current()
        if data.get("mode") == "required" and not context.document.get("callers"):
            raise ValidationError("is required, but there are no [[callers]]", "mode")
        bind = bind_address(context.environ)
        if data.get("mode") == "none" and not is_loopback(bind):
            raise ValidationError(
                f"is none, which is allowed on a loopback address only, and GATEWAY_BIND is {bind}", "mode"
            )

    @validates_schema
    def check_claims(self, data: dict[str, Any], **_kwargs: Any) -> None:
        """Warn of callers that tokens of every issuer can match."""
        context = LoadContext.current()
        callers = context.document.get("callers", ())
        for caller in callers if isinstance(callers, list) and len(data["jwt"]) > 1 else ():
            claims = caller.get("jwt_claims") if isinstance(caller, dict) else None
            if isinstance(claims, dict) and "iss" not in claims:
                context.warnings.append(
                    f"callers: jwt_claims of {caller.get('name')} name no iss: every issuer's tokens match"
                )

    def build(self, values: dict[str, Any]) -> AuthConfig:
        """Return the configuration; its callers, which are another table of the file, are added later."""
        return AuthConfig(required=values["mode"] == "required", jwt=values["jwt"], **values["mesh"])


def bind_address(environ: Mapping[str, str]) -> str:
    """Return the address to listen on, HOST:PORT or unix:PATH."""
    return environ.get("GATEWAY_BIND", _DEFAULT_BIND)


def is_loopback(bind: str) -> bool:
    """Return whether HOST:PORT or unix:PATH can be reached from this machine only; the server checks an fd://NUMBER."""
    host = bind.rpartition(":")[0].strip("[]")
    return bind.startswith(("unix:", "fd://")) or host == "localhost" or is_local_address((host,))
