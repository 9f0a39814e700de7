"""Secrets by name: the value behind one of these names is masked, in every notation."""

from __future__ import annotations

import json
from typing import Final

import pytest

from gateway.telemetry.secret_patterns import MASK, PREFILTER, is_secret_name, mask

HIDDEN = "Hidden/Value+1="
TEXTS = [
    json.dumps({"bk_app_secret": HIDDEN, "a": 1}),
    json.dumps({"inner": json.dumps({"bk_app_secret": f"{HIDDEN} and more", "b": "c"})}),
    json.dumps(json.dumps(json.dumps({"token": HIDDEN}))),
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
OTHER_NAMES = [
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
def test_values_are_masked(text: str) -> None:
    """JSON (in JSON, in part), headers, parameters, Python's own notation, URLs: the value is masked."""
    masked = mask(text)
    assert "Hidden" not in masked
    assert MASK in masked


@pytest.mark.parametrize("text", TEXTS)
def test_prefilter_matches(text: str) -> None:
    """The prefilter matches every text that the patterns match."""
    assert PREFILTER.search(text.lower())


def test_text_behind_a_value_stays() -> None:
    """Only the value is masked: the line, object or header behind it stays."""
    assert mask('{"token": "x1", "b": "c"}') == '{"token": "[redacted]", "b": "c"}'
    assert mask("X-Auth-Token: x1\r\nHost: here") == "X-Auth-Token: [redacted]\r\nHost: here"
    assert mask("?token=x1&page=1") == "?token=[redacted]&page=1"
    assert mask("postgresql://gateway:x1@db/gateway") == "postgresql://gateway:[redacted]@db/gateway"


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_stays(text: str) -> None:
    """Similar words, prose, and settings that an error message names stay unchanged."""
    assert mask(text) == text


@pytest.mark.parametrize("name", NAMES)
def test_secret_names(name: str) -> None:
    """A field, a header or a setting of this name contains a secret."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ['"{}": "{}"', "{}: {}", "{}={}", "('{}', '{}')"])
def test_every_name_in_every_form(name: str, form: str) -> None:
    """The prefilter and the patterns find the value behind every name."""
    text = form.format(name, HIDDEN)
    assert PREFILTER.search(text.lower())
    assert HIDDEN not in mask(text)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_other_names(name: str) -> None:
    """These names are not secret."""
    assert not is_secret_name(name)


_KIB_64: Final = 64 * 1024
WORST_CASES: dict[str, tuple[str, str]] = {
    "backslashes": ("", "\\"),
    "backslashes behind a name": ('"token":', "\\"),
    "backslashes behind a quoted name": ('"token"', "\\"),
    "backslashes behind a header": ("token:", "\\"),
    "backslashes behind a parameter": ("token=", "\\"),
    "backslashes in a value": ('"token":' + "\\" * 32_000 + '"x', "\\"),
    "escaped quotes": ("", '\\"'),
    "quotes": ("", '"'),
    "spaces behind a name": ('"token"', " "),
    "spaces behind a header": ("token", " "),
    "spaces behind a scheme": ("bearer", " "),
    "letters": ("", "x"),
    "quoted letters": ("", '"a'),
    "hyphens": ("", "a-"),
    "names": ("", "token "),
    "quoted names": ("", '"token"'),
    "headers": ("", "token:"),
    "parameters": ("", "token="),
    "lists": ("", '"token":['),
    "schemes": ("", "bearer "),
    "URLs": ("", "://"),
    "users": ("", "://a:"),
    "one user": ("://:", "a"),
}


@pytest.mark.parametrize(("start", "repeated"), WORST_CASES.values(), ids=WORST_CASES)
def test_time_is_linear(start: str, repeated: str) -> None:
    """64 KiB of the worst input end within the time limit of a test; quadratic time would not."""
    text = (start + repeated * (_KIB_64 // len(repeated)))[:_KIB_64]
    assert len(mask(text)) <= len(text) * (1 + len(MASK))
