"""Secrets by their value: in every encoding, at every offset, for as long as they are known."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

import pytest

from gateway.settings import Secret
from gateway.telemetry.redaction import Redactor, collect_secrets
from gateway.telemetry.secret_patterns import MASK

VALUES = [
    "six-ch",
    "fourteen-chars",
    "fifteen-chars-x",
    "plain-and-long-1234567890",
    'with "quotes", spaces and \\ in it',
    "pass/word+with=signs&more%41#",
    "mit Ümlaut und 模块 darin",
    "line\nfeed in the middle of it",
]
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent-encoded": lambda value: quote(value, safe=""),
    "percent-encoded path": quote,
    "percent-encoded form": quote_plus,
    "JSON": lambda value: json.dumps(value)[1:-1],
    "JSON in UTF-8": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)),
    "repr": repr,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 of user:password": lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
    "base64 in the middle": lambda value: base64.b64encode(f"ab{value}cd".encode()).decode(),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(f"é:{value}".encode()).decode(),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_encodings(value: str, encode: Callable[[str], str]) -> None:
    """A value is masked at every offset of a line, and the rest of the line stays."""
    redactor, encoded = Redactor([value]), encode(value)
    for offset in range(17):
        text = f"{'.' * offset} {encoded} end"
        redacted = redactor.redact(text)
        assert MASK in redacted
        assert value not in redacted
        assert redacted.startswith("." * offset)
        assert redacted.endswith("end")


def test_truncated_value() -> None:
    """A long value that was truncated is found by its first fifteen characters."""
    value = "gAAAAABk-" + "0123456789" * 50
    assert Redactor([value]).redact(f"message={value[:200]} end") == f"message={MASK} end"


def test_short_values() -> None:
    """A value of five characters occurs in ordinary words: only its name is searched for."""
    redactor = Redactor(["short", ""])
    assert redactor.redact("a short line") == "a short line"
    assert redactor.redact("password=short") == f"password={MASK}"


def test_structures() -> None:
    """Texts in objects and lists are redacted, keys stay, and any value of a secret's name is masked."""
    redactor = Redactor(["the-known-value"])
    value = {
        "error": ["x the-known-value", ("y", 1, None, 1.5, True)],
        "headers": {"X-Auth-Token": "abc", "n": 3},
        "token": ["a", "b"],
        "password": {"user": "robot", "password": 5},
        "secret": None,
        "path": b"the-known-value",
    }
    assert redactor.redact(value) == {
        "error": [f"x {MASK}", ["y", 1, None, 1.5, True]],
        "headers": {"X-Auth-Token": MASK, "n": 3},
        "token": MASK,
        "password": {"user": "robot", "password": MASK},
        "secret": None,
        "path": f"b'{MASK}'",
    }


def test_remove() -> None:
    """A value is known until it is removed as often as it was added; then nothing of it is stored."""
    redactor, long, short = Redactor(), "a-long-value-of-a-user", "a-short1"
    for value in (long, short):
        redactor.add(value)
        redactor.add(value)
        redactor.remove(value)
        assert redactor.may_contain_secret(f"x {value}")
        redactor.remove(value)
        redactor.remove(value)
        assert not redactor.may_contain_secret(f"x {value}")
    assert not any((redactor._uses, redactor._short_variants, redactor._prefixes, redactor._prefix_words))


def test_common_prefix() -> None:
    """Removing one token does not remove another that starts with the same header."""
    first, second = "eyJhbGciOiJSUzI1NiJ9.first", "eyJhbGciOiJSUzI1NiJ9.second"
    redactor = Redactor([first, second])
    redactor.remove(first)
    assert redactor.redact(f"{second} end") == f"{MASK} end"


def test_credentials_in_flight() -> None:
    """However many credentials are in flight, each is redacted until it has ended; then nothing of them is stored."""
    redactor = Redactor()
    values = [f"credential-number-{number:05}" for number in range(2500)]
    with ExitStack() as stack:
        for value in values:
            stack.enter_context(redactor.hold(value))
        assert all(redactor.redact(f"is {value}, see") == f"is {MASK}, see" for value in (values[0], values[-1]))
        assert all(redactor._contains_secret(value) for value in values)
    assert not any((redactor._uses, redactor._short_variants, redactor._prefixes, redactor._prefix_words))


def test_credential_in_flight_twice() -> None:
    """A credential of two requests is redacted until the second one has ended, in whatever order they end."""
    redactor, value = Redactor(), "the-credential-of-a-caller"
    first, second = redactor.hold(value), redactor.hold(value)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    for encode in ENCODINGS.values():
        assert MASK in redactor.redact(f"x {encode(value)} end")
    second.__exit__(None, None, None)
    assert redactor.redact(f"x {value}") == f"x {value}"


@pytest.mark.parametrize("value", ["the-known-value", "known-1"])
def test_permanent_secret_in_flight(value: str) -> None:
    """A secret of the configuration that a caller also sends stays redacted after the request, failed or not."""
    redactor = Redactor([value])
    with pytest.raises(KeyError), redactor.hold(value):
        raise KeyError
    redactor.add_temporary(value, 60.0)
    assert redactor.redact(f"x {value} end") == f"x {MASK} end"


def test_temporary() -> None:
    """A replaced credential is redacted for a time after the last call, however many others are replaced meanwhile."""
    now = [0.0]
    redactor = Redactor(clock=lambda: now[0])
    redactor.add_temporary("the-credential-of-a-caller", 60.0)
    now[0] = 50.0
    redactor.add_temporary("the-credential-of-a-caller", 60.0)
    for number in range(1100):
        redactor.add_temporary(f"credential-number-{number:05}", 10.0)
    now[0] = 100.0
    redactor.add_temporary("the-credential-of-another", 60.0)
    assert set(redactor._uses) == {"the-credential-of-a-caller", "the-credential-of-another"}
    now[0] = 111.0
    redactor.add_temporary("the-credential-of-another", 60.0)
    assert list(redactor._uses) == ["the-credential-of-another"]


def test_temporary_and_a_clock_that_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the wall clock ends no redaction."""
    redactor = Redactor()
    redactor.add_temporary("the-credential-of-a-caller", 60.0)
    monkeypatch.setattr("time.time", lambda: 1e12)
    redactor.add_temporary("the-credential-of-another", 60.0)
    assert redactor.redact("x the-credential-of-a-caller") == f"x {MASK}"


@dataclass(frozen=True)
class Inner:
    key: Secret
    name: str = "not-a-secret"


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    url: Secret
    mapping: dict[str, Secret]
    nothing: None = None


def test_collect_secrets() -> None:
    """Every nested Secret is found; of a URL the password, as written and decoded."""
    settings = Outer(
        (Inner(Secret("first-secret")), Inner(Secret("second-secret"))),
        Secret("postgresql://gateway:p%40ssword@db/gateway?password=another%2B1"),
        {"storage": Secret("redis://:redis-password@h:1/0"), "none": Secret("memory://")},
    )
    assert set(collect_secrets(settings)) == {
        "first-secret", "second-secret", "p%40ssword", "p@ssword", "another%2B1", "another+1", "redis-password",
    }  # fmt: skip


@pytest.fixture
def thousand() -> Redactor:
    """A redactor that knows a thousand credentials."""
    return Redactor(f"credential-number-{number:05}" for number in range(1000))


def test_many_values(thousand: Redactor) -> None:
    """Each of a thousand values is found in a line, and a line without one passes the check."""
    assert thousand.redact("is credential-number-00777, see") == f"is {MASK}, see"
    line = json.dumps({"message": "request", "backend": "cmdb", "path": "/modules/cmdb.1.10.37825", "status": 200})
    assert not thousand.may_contain_secret(line)
