"""Values that a setting stands for are accepted, with what they are loaded as; each pattern and range has rows here."""

from __future__ import annotations

from typing import Any, Final

import pytest

from gateway.settings import Secret
from gateway.telemetry.redaction import collect_secrets
from tests.unit.settings.conftest import CMDB, Errors, Read

_PM: Final = """
[backends.cmdb]
type = "projectman"
access_key = "AK"
secret_key = "env:SECRET"
region = "cn-north-4"
"""
_JWT: Final = """
[auth.jwt]
issuer = "i"
audience = "a"
jwks_url = "https://h/keys"
algorithms = ["RS256"]
"""
_URLS: Final = (
    "http://[::1]:8080", "https://[2001:db8::7]/api", "https://[::ffff:192.0.2.1]:443/x", "https://my_host.example:65535",
    "https://h/a%20b/c;v=1,2/(x)@y:z", "https://h:1", "http://192.0.2.1/a//b", "https://Host.Example.COM/Path",
    "http://localhost", "https://xn--fiqs8s.example/~u/!$&'*+=",
)  # fmt: skip
_SECONDS: Final = (0.001, 1, 600, 3600, 86_400)


def _connection(name: str, *values: Any, base: str = CMDB) -> list[Any]:
    return [pytest.param(base, f"backends.cmdb.{name}", value, id=f"{name}={value}") for value in values]


def _setting(path: str, *values: Any, base: str = CMDB) -> list[Any]:
    return [pytest.param(base, path, value, id=f"{path}={value}") for value in values]


@pytest.mark.parametrize(
    ("base", "path", "value"),
    [
        *_connection("base_url", *_URLS),
        *_connection("app_code", "网关", "my app", "a.b-c_d", "UPPER", "x" * 300),
        *_connection("username", "Admin", "first.last@example.com", "管理员"),
        *_connection("tenant_id", "system", "Tenant_1-a", ""),
        *_connection("attributes", ["remark", "Tier_2", "a" * 128], []),
        *_connection("name_max_characters", 1, 32, 256),
        *_connection("connect_seconds", *_SECONDS),
        *_connection("hard_timeout_seconds", *_SECONDS),
        *_connection("settle_seconds", *_SECONDS),
        *_connection("clock_skew_seconds", 0, *_SECONDS),
        *_connection("idle_seconds", 0, *_SECONDS),
        *_connection("circuit_seconds", *_SECONDS),
        *_connection("circuit_failures", 0, 1, 100_000),
        *_connection("requests_per_second", 0, 0.1, 1_000_000),
        *_connection("concurrent_calls", 1, 100_000),
        *_connection("queued_calls", 0, 100_000),
        *_connection("access_key", "AK.with-every_visible/char+=", base=_PM),
        *_connection("iam_project_id", "0A" * 16, "", base=_PM),
        *_connection("default_owner", "0a" * 16, "", base=_PM),
        *_setting(
            "auth.jwt.jwks_url", *_URLS, "https://h/discovery/v2.0/keys?p=b2c_1_signin&x=%20/?", base=CMDB + _JWT
        ),
        *_setting("auth.jwt.issuer", "https://h/", "accounts.example.com", "urn:x", base=CMDB + _JWT),
        *_setting("auth.jwt.user_claim", "https://example.com/claims/user", "", base=CMDB + _JWT),
        *_setting("auth.jwt.refresh_seconds", *_SECONDS, base=CMDB + _JWT),
        *_setting("auth.mesh.trusted_hops", ["unix", "::1", "10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]),
        *_setting("server.trusted_proxies", ["unix", "::1", "10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]),
        *_setting("server.deadline_seconds", *_SECONDS),
        *_setting("cors.max_age_seconds", 0, *_SECONDS),
        *_setting("cors.allow_headers", ["X-My_Header.v1", "x", "*"]),
        *_setting(
            "cors.origins",
            ["https://my_app.example", "http://[::1]:3000", "http://localhost:1", "https://a.b-c.example:8443"],
            ["chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb", "capacitor://localhost", "tauri://localhost"],
        ),
        *_setting("limits.storage", "memory://", "redis://:p@h:6379/0", "rediss://u:p@h/1?x=y"),
        *_setting("journal.url", "sqlite:////abs/journal.db", "postgresql://u:p%40@[::1]:5432/d?sslmode=require"),
    ],
)
def test_a_valid_value_is_accepted(read: Read, base: str, path: str, value: Any) -> None:
    """The configuration with this value is valid."""
    *tables, key = path.split(".")
    header = f"[{'.'.join(tables)}]\n"
    setting = f"{key} = {_toml(value)}\n"
    text = "\n".join(line for line in base.splitlines() if not line.startswith(f"{key} =")) + "\n"
    text = text.replace(header, header + setting) if header in text else text + header + setting
    read(text, SECRET="hush")


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def test_values_are_loaded(read: Read) -> None:
    """A scheme is loaded in lower case, a path without the slash at its end, a query as it is."""
    text = CMDB.replace("https://bkapi.example.com", "HTTPS://Bkapi.example.com/X/")
    settings = read(text + _JWT.replace("https://h/keys", "HTTPS://h/keys/?p=a/"), SECRET="hush")
    assert settings.backends[0].options.base_url == "https://Bkapi.example.com/X"
    assert settings.auth.jwt[0].jwks_url == "https://h/keys/?p=a/"


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_references_are_trimmed_alike(read: Read, tmp_path: Any, end: str) -> None:
    """Line ends after a secret are no part of it, in the environment as in a file; other white space is."""
    (tmp_path / "secret").write_text(f" hush {end}", encoding="utf-8", newline="")
    for reference, environ in ((f"file:{tmp_path}/secret", {}), ("env:SECRET", {"SECRET": f" hush {end}"})):
        settings = read(CMDB.replace("env:SECRET", reference), **environ)
        assert settings.backends[0].options.app_secret == Secret(" hush ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://bkapi.example.com", address)
        for address in (
            "https://user:pass@h",
            "https://h/?a=b",
            "https://h/#x",
            "https://h:65536",
            "ftp://h",
            "https://",
        )
    ]
    + [("https://bkapi.example.com", "https://h/%zz"), ("https://bkapi.example.com", "https://h/a b")],
)
def test_other_values_are_refused(errors: Errors, old: str, new: str) -> None:
    """A base address has no credentials, query or fragment, and a valid port and path."""
    assert errors(CMDB.replace(old, new), SECRET="hush") == [
        "backends.cmdb.base_url: must be an address such as https://host/path"
    ]


@pytest.mark.parametrize("origin", ["null", "*", "https://a.example/", "HTTPS://a", "https://a:443", "a"])
def test_other_origins_are_refused(errors: Errors, origin: str) -> None:
    """Only what browsers send is an origin; `null` stands for any page without one."""
    (line,) = errors(CMDB + f'[cors]\norigins = ["{origin}"]\n', SECRET="hush")
    assert line.startswith("cors.origins[1]: must be an origin as browsers send it")


@pytest.mark.parametrize(
    ("value", "warns"),
    [
        ("http://proxy:3128", False),
        ("http://[::1]:8080/", False),
        ("HTTP://proxy", False),
        ("http://user:canary-password@proxy.example:3128", True),
        ("env:PROXY", False),
    ],
)
def test_a_proxy(read: Read, value: str, warns: bool) -> None:
    """The password is a secret, and one that is written out in the file causes a warning."""
    settings = read(CMDB + f'proxy_url = "{value}"\n', SECRET="hush", PROXY="http://u:canary-password@h:1")
    assert bool(settings.warnings) == warns
    assert "canary" not in repr(settings)
    assert ("canary-password" in set(collect_secrets(settings))) == ("@" in value or value == "env:PROXY")


@pytest.mark.parametrize("value", ["proxy:3128", "https://proxy", "socks5://proxy", "http://", "http://h/path", ""])
def test_an_invalid_proxy(errors: Errors, value: str) -> None:
    """Only a plain HTTP proxy is supported."""
    assert errors(CMDB + f'proxy_url = "{value}"\n', SECRET="hush") == [
        "backends.cmdb.proxy_url: must be a URL such as http://user:password@proxy:3128"
    ]
    assert errors(CMDB + 'proxy_url = "http://h:70000"\n', SECRET="hush") == [
        "backends.cmdb.proxy_url: must have a port of at most 65535"
    ]
