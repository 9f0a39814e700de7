"""The tables [auth], [[callers]], [cors] and [limits]: the loaded values, and the errors."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from gateway.backends.projectman.options import Passthrough
from gateway.settings import ConfigurationError, parse_settings
from tests.unit.settings.conftest import CMDB, Errors, Read

_DIGEST: Final = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
_CALLER: Final = f"""
[[callers]]
name = "portal"
api_key_sha256 = "{_DIGEST}"
allow = ["create,read:cmdb:1", "*:cmdb:*"]
"""
_JWT: Final = """
[auth.jwt]
issuer = "https://login.example.com/"
audience = "module-gateway"
jwks_url = "https://login.example.com/keys"
algorithms = ["RS256"]
"""


def test_without_authentication(read: Read) -> None:
    """The defaults: no authentication, rates counted in memory, no origins."""
    settings = read(CMDB, SECRET="hush")
    assert (settings.auth.required, settings.auth.callers, settings.auth.jwt) == (False, (), ())
    assert (settings.cors.origins, settings.limits.storage.value) == ((), "memory://")


def test_callers(read: Read, tmp_path: Path) -> None:
    """A caller with all its settings; a digest may be in a file and in upper case."""
    (tmp_path / "digest").write_text(_DIGEST.upper() + "\n")
    text = f"""
    [auth]
    mode = "required"
    [auth.mesh]
    trusted_hops = ["127.0.0.1", "10.0.0.0/8", "::1", "unix"]
    [[callers]]
    name = "portal"
    api_key_sha256 = ["file:{tmp_path}/digest", "{"0" * 64}"]
    jwt_claims = {{ sub = "alice", azp = "env:AZP" }}
    spiffe = "spiffe://cluster.local/ns/web/sa/portal"
    acts_as = "alice"
    requests_per_second = 0.5
    allow = ["create,read:cmdb:1"]
    """
    auth = read(text + _JWT + CMDB, SECRET="hush", AZP="web", GATEWAY_BIND="0.0.0.0:8000").auth
    (entry,) = auth.callers
    assert auth.required
    assert auth.trusted_proxies == ("127.0.0.1", "10.0.0.0/8", "::1", "unix")
    assert (entry.name, entry.key_digests) == ("portal", (_DIGEST, "0" * 64))
    assert (entry.claims, entry.acting_user, entry.requests_per_second) == (
        {"sub": "alice", "azp": "web"},
        "alice",
        0.5,
    )
    assert entry.spiffe == "spiffe://cluster.local/ns/web/sa/portal"
    assert [(rule.matches("create", "cmdb", "1"), rule.matches("delete", "cmdb", "1")) for rule in entry.allow] == [
        (True, False)
    ]


def test_issuer(read: Read) -> None:
    """The issuer of tokens, with the defaults of the optional settings."""
    (issuer,) = read(_JWT + CMDB, SECRET="hush").auth.jwt
    assert issuer is not None
    assert (issuer.issuer, issuer.audience) == ("https://login.example.com/", "module-gateway")
    assert (issuer.jwks_url, issuer.algorithms) == ("https://login.example.com/keys", ("RS256",))
    assert (issuer.user_claim, issuer.refresh_seconds, issuer.ca_file) == ("", 300.0, "")


def test_origins_and_storage(read: Read) -> None:
    """Origins are loaded as written; repr does not show the password of Redis."""
    origins = '["https://a.example.com", "http://localhost:3000", "http://[::1]:8080"]'
    text = f"[cors]\norigins = {origins}\nmax_age_seconds = 60\n"
    settings = read(text + '[limits]\nstorage = "redis://:hush@redis:6379/0"' + CMDB, SECRET="x")
    assert settings.cors.origins == ("https://a.example.com", "http://localhost:3000", "http://[::1]:8080")
    assert settings.cors.max_age_seconds == 60.0
    assert settings.limits.storage.value == "redis://:hush@redis:6379/0"
    assert "hush" not in repr(settings)


_ORIGIN: Final = "must be an origin as browsers send it: scheme, lower-case host"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[auth]\nmode = "basic"', "auth.mode: must be one of none, required"),
        ('[auth]\nmode = "required"', "auth.mode: is required, but there are no [[callers]]"),
        ("[auth]\nrealm = 'x'", "auth.realm: is not a setting"),
        ("[auth.mesh]\nhops = []", "auth.mesh.hops: is not a setting"),
        (
            "[auth.mesh]\ntrusted_hops = ['10.0.0.1/8']",
            "auth.mesh.trusted_hops[1]: must be an address, a network such as 10.0.0.0/8, or unix",
        ),
        ("callers = 1", "callers: must be tables, each under [[callers]]"),
        ("callers = [1]", "callers[1]: must be a table"),
        (_CALLER.replace('name = "portal"', ""), "callers[1].name: is missing"),
        (
            _CALLER.replace('"portal"', '"por tal"'),
            "callers[1].name: must be at most 64 of A-Z a-z 0-9 . _ -",
        ),
        (_CALLER.replace(_DIGEST, "abc"), "callers[1].api_key_sha256: must be 64 hexadecimal digits"),
        (
            _CALLER.replace(f'"{_DIGEST}"', f'["{_DIGEST}", "abc"]'),
            "callers[1].api_key_sha256[2]: must be 64 hexadecimal digits",
        ),
        (_CALLER.replace(f'"{_DIGEST}"', "[1]"), "callers[1].api_key_sha256[1]: must be a string"),
        (
            _CALLER.replace(f'api_key_sha256 = "{_DIGEST}"', ""),
            "callers[1]: needs a credential: api_key_sha256, jwt_claims or spiffe",
        ),
        (
            _CALLER + 'spiffe = "http://x"',
            "callers[1].spiffe: must be a URI such as spiffe://cluster.local/ns/web/sa/portal",
        ),
        (_CALLER + 'acts_as = "a b"', "callers[1].acts_as: must be a user name of at most 64 visible ASCII characters"),
        (_CALLER + "jwt_claims = { sub = 1 }", "callers[1].jwt_claims.sub: must be a string"),
        (
            _CALLER + "requests_per_second = -1",
            "callers[1].requests_per_second: must be at least 0 and at most 1000000",
        ),
        (_CALLER + "key = 'x'", "callers[1].key: is not a setting"),
        (
            _CALLER.replace("create,read:cmdb:1", "create:1"),
            "callers[1].allow[1]: say ACTIONS:CONNECTION:SCOPE, such as create,read:cmdb:1 or *:projectman:*",
        ),
        (
            _CALLER.replace("create,read:cmdb:1", "create,write:cmdb:1"),
            "callers[1].allow[1]: there is no action write; there are create, read, update, delete",
        ),
        (
            _CALLER.replace("create,read:cmdb:1", "read:jira:1"),
            "callers[1].allow[1]: there is no connection jira",
        ),
        (
            _CALLER + _CALLER.replace(_DIGEST, "0" * 64),
            "callers[2].name: must be unique; an earlier caller has the same",
        ),
        (
            _CALLER + _CALLER.replace("portal", "other"),
            "callers[2].api_key_sha256: must be unique; an earlier caller has the same",
        ),
        (
            "".join(f"\n[[callers]]\nname = '{name}'\nspiffe = 'spiffe://x/y'" for name in "ab"),
            "callers[2].spiffe: must be unique; an earlier caller has the same",
        ),
        (
            "".join(f"\n[[callers]]\nname = '{name}'\njwt_claims = {{ sub = 'x' }}" for name in "ab"),
            "callers[2].jwt_claims: must be unique; an earlier caller has the same",
        ),
        (_JWT.replace('["RS256"]', '["RS256", "HS256"]'), "auth.jwt.algorithms[2]: must be one of RS256, "),
        (_JWT.replace('["RS256"]', '["none"]'), "auth.jwt.algorithms[1]: must be one of RS256, "),
        (_JWT.replace('algorithms = ["RS256"]', ""), "auth.jwt.algorithms: is missing"),
        (_JWT.replace('["RS256"]', "[]"), "auth.jwt.algorithms: must name the algorithms that the issuer signs with"),
        (_JWT.replace('audience = "module-gateway"', ""), "auth.jwt.audience: is missing"),
        (_JWT + "secret = 'x'", "auth.jwt.secret: is not a setting"),
        ('[cors]\norigins = ["*"]', f"cors.origins[1]: {_ORIGIN}"),
        ('[cors]\norigins = ["https://a.example.com/"]', f"cors.origins[1]: {_ORIGIN}"),
        ('[cors]\norigins = ["https://A.example.com"]', f"cors.origins[1]: {_ORIGIN}"),
        ('[cors]\norigins = ["https://a.example.com:443"]', f"cors.origins[1]: {_ORIGIN}"),
        ('[cors]\norigins = ["http://a.example.com:80"]', f"cors.origins[1]: {_ORIGIN}"),
        ('[cors]\norigins = ["null"]', f"cors.origins[1]: {_ORIGIN}"),
        ("[cors]\ncredentials = true", "cors.credentials: is not a setting"),
        ('[limits]\nstorage = "memcached://x"', "limits.storage: must be memory:// or redis://HOST:PORT/DB"),
        ("[limits]\nrate = 1", "limits.rate: is not a setting"),
    ],
)
def test_errors(errors: Errors, text: str, expected: str) -> None:
    """Each error is one line that begins with the path of the setting."""
    lines = errors(text + CMDB, SECRET="hush")
    assert any(line.startswith(expected) for line in lines), lines


def test_redis_without_its_client(errors: Errors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis without its client library is a configuration error."""
    monkeypatch.setattr("gateway.settings.schemas.find_spec", lambda _name: None)
    lines = errors('[limits]\nstorage = "redis://x"' + CMDB, SECRET="hush")
    assert lines == ["limits.storage: needs the extra: pip install module-gateway[redis]"]


def test_journal_url() -> None:
    """The journal's own error about its URL is reported with the other errors."""
    document = {"server": {"port": 1}, "journal": {"url": "sqlite:///x/"}}
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(document, {}, {}, lambda url: f"{len(url)} is too much")
    assert caught.value.errors[:2] == ("server.port: is not a setting", "journal.url: 12 is too much")


def test_passthrough(read: Read) -> None:
    """A connection that passes the callers' credentials through needs no credentials of its own."""
    text = """
    [backends.pm]
    type = "projectman"
    region = "cn-north-4"
    credentials = "passthrough"
    [backends.cmdb]
    type = "cmdb"
    base_url = "https://bkapi.example.com"
    app_code = "gateway"
    app_secret = "env:SECRET"
    credentials = "passthrough"
    """
    pm, cmdb = (backend.options for backend in read(text, SECRET="hush").backends)
    assert pm.auth == Passthrough()
    assert (cmdb.username, cmdb.passthrough) == ("", True)


def test_loopback_only_without_authentication(errors: Errors, read: Read) -> None:
    """Without authentication the bind address must be a loopback address; with it any address is allowed."""
    lines = errors(CMDB, SECRET="hush", GATEWAY_BIND="0.0.0.0:8000")
    assert lines == [
        "auth.mode: is none, which is allowed on a loopback address only, and GATEWAY_BIND is 0.0.0.0:8000"
    ]
    required = '[auth]\nmode = "required"' + _CALLER
    assert read(required + CMDB, SECRET="hush", GATEWAY_BIND="0.0.0.0:8000").bind == "0.0.0.0:8000"


@pytest.mark.parametrize(
    ("bind", "allowed"),
    [
        ("127.8.8.8:80", True),
        ("localhost:80", True),
        ("[::1]:80", True),
        ("[::ffff:127.0.0.1]:80", True),
        ("unix:/run/gateway.sock", True),
        ("fd://3", True),
        (":80", False),
        ("[::]:80", False),
        ("[::ffff:192.0.2.2]:80", False),
        ("gateway.local:80", False),
    ],
)
def test_addresses_without_authentication(read: Read, errors: Errors, bind: str, allowed: bool) -> None:
    """An address that shows that others can reach it is refused before the start; the server checks its sockets too."""
    if allowed:
        assert read(CMDB, SECRET="hush", GATEWAY_BIND=bind).bind == bind
    else:
        assert len(errors(CMDB, SECRET="hush", GATEWAY_BIND=bind)) == 1


def test_several_issuers(read: Read, errors: Errors) -> None:
    """One issuer is a table, several are tables; issuers are different, and a caller should name one of them."""
    second = _JWT.replace("login.example.com", "second.example.com")
    both = (_JWT + second).replace("[auth.jwt]", "[[auth.jwt]]")
    callers = (
        '[[callers]]\nname = "a"\njwt_claims = { azp = "a" }\n[[callers]]\nname = "b"\njwt_claims = { iss = "i" }\n'
    )
    settings = read(both + CMDB + callers, SECRET="hush")
    assert [issuer.issuer for issuer in settings.auth.jwt] == [
        "https://login.example.com/",
        "https://second.example.com/",
    ]
    assert settings.warnings == ("callers: jwt_claims of a name no iss: every issuer's tokens match",)
    twice = (_JWT + _JWT).replace("[auth.jwt]", "[[auth.jwt]]")
    for text, error in (
        (twice, "auth.jwt: must have different issuers"),
        (both.replace('audience = "module-gateway"', "", 1), "auth.jwt[1].audience: is missing"),
        ('[auth]\njwt = "x"\n', "auth.jwt: must be a table, or tables"),
    ):
        assert errors(text + CMDB, SECRET="hush") == [error]
