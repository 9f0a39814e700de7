"""Secrets by name: what stands behind one of these names is not written, in whatever notation."""

from __future__ import annotations

import json

import pytest

from gateway.telemetry.secret_patterns import MASK, PREFILTER, is_secret_name, mask

HIDDEN = "Hidden/Value+1="
TEXTS = [
    json.dumps({"bk_app_secret": HIDDEN, "a": 1}),
    json.dumps({"inner": json.dumps({"bk_app_secret": f"{HIDDEN} and more", "b": "c"})}),
    json.dumps({"password": {"user": {"name": "robot", "password": HIDDEN}}}),
    json.dumps({"Set-Cookie": [HIDDEN, HIDDEN]}),
    json.dumps({"token": "cut off"})[:-5] + HIDDEN,
    f'{{"sk": "{HIDDEN}"}}',
    f"{{'X-Auth-Token': '{HIDDEN}', 'b': 'c'}}",
    f"[('Authorization', 'Basic {HIDDEN}')]",
    f"('password', b'{HIDDEN}')",
    f"X-Auth-Token: {HIDDEN} and more\r\nHost: here",
    f"X-Forwarded-Client-Cert: By={HIDDEN};URI={HIDDEN}",
    f"Cookie: a={HIDDEN}; b={HIDDEN}",
    f"Authorization: SDK-HMAC-SHA256 Access=AK, SignedHeaders=a;b, Signature={HIDDEN}",
    f"curl -H 'X-Api-Key: {HIDDEN}' -v",
    f"https://host/path?token={HIDDEN}&page=1",
    f"password={HIDDEN} host=db",
    f"PGPASSWORD={HIDDEN}",
    f"api_key='{HIDDEN}'",
    f"sk: {HIDDEN}",
    f"Authorization=Bearer {HIDDEN}",
    f"it said bearer {HIDDEN} and went away",
    "redis://:HiddenValue@host:6379/0",
    "postgresql://gateway:HiddenValue@db/gateway",
]
NAMES = [
    "authorization", "Proxy-Authorization", "X-Bkapi-Authorization", "x-api-key", "X-Auth-Token", "x-subject-token",
    "X-Security-Token", "x-bk-token", "bk_token", "bk_ticket", "bk_app_secret", "app_secret", "secret_key", "secretKey",
    "password", "passwd", "secret", "token", "accessToken", "sk", "SK", "cookie", "Set-Cookie",
    "X-Forwarded-Client-Cert", "private_key", "Signature", "passphrase", "pwd", "credential",
]  # fmt: skip
OTHERS = [
    "next_page_token", "page-token", "task", "risk", "status", "credentials", "key", "trace_id", "bk_app_code", "code",
    "tokens", "operation", "secretary", "",
]  # fmt: skip
HARMLESS = [
    "backends.cmdb.app_secret: is missing",
    "the token has expired",
    '{"next_page_token": "abc", "task": "abc"}',
    '{"token": null, "password": ""}',
    "https://host:8080/path",
    "task=1; disk: full",
]


@pytest.mark.parametrize("text", TEXTS)
def test_values_behind_names(text: str) -> None:
    """JSON (in JSON, in part), headers, parameters, Python's own notation, addresses: the value is gone."""
    masked = mask(text)
    assert "Hidden" not in masked
    assert MASK in masked


@pytest.mark.parametrize("text", TEXTS)
def test_every_one_has_a_hint(text: str) -> None:
    """The quick look does not pass over anything that the patterns would find."""
    assert PREFILTER.search(text.lower())


def test_what_follows_stays() -> None:
    """Only the value goes: the line, the table and the header behind it stay."""
    assert mask('{"token": "x1", "b": "c"}') == '{"token": "[redacted]", "b": "c"}'
    assert mask("X-Auth-Token: x1\r\nHost: here") == "X-Auth-Token: [redacted]\r\nHost: here"
    assert mask("?token=x1&page=1") == "?token=[redacted]&page=1"
    assert mask("postgresql://gateway:x1@db/gateway") == "postgresql://gateway:[redacted]@db/gateway"


@pytest.mark.parametrize("text", HARMLESS)
def test_no_more_than_that(text: str) -> None:
    """Words that only look alike, prose, and settings that are named in a mistake stay as they are."""
    assert mask(text) == text


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    """A field, a header or a setting of this name holds a secret."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ['"{}": "{}"', "{}: {}", "{}={}", "('{}', '{}')"])
def test_every_name_in_every_form(name: str, form: str) -> None:
    """What stands behind any of them is found, by the quick look and by the slow one."""
    text = form.format(name, HIDDEN)
    assert PREFILTER.search(text.lower())
    assert HIDDEN not in mask(text)


@pytest.mark.parametrize("name", OTHERS)
def test_other_names(name: str) -> None:
    """And these hold none."""
    assert not is_secret_name(name)


@pytest.mark.parametrize("piece", ["x", "token ", '"token"', "token:", "token=", "://", "a-", '\\"', "bearer "])
def test_bounded(piece: str) -> None:
    """A long line made to be hard is done, and no longer than it was by more than the masks."""
    text = piece * (20_000 // len(piece))
    assert len(mask(text)) <= len(text) * (1 + len(MASK))
