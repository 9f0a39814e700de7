"""Secrets by their characters: whatever they are spelled like, wherever they stand, for as long as they are known."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
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
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "quoted": lambda value: quote(value, safe=""),
    "quoted path": quote,
    "quoted form": quote_plus,
    "JSON": lambda value: json.dumps(value)[1:-1],
    "JSON in UTF-8": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)),
    "repr": repr,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 of user:password": lambda value: base64.b64encode(f"user:{value}".encode()).decode(),
    "base64 in the middle": lambda value: base64.b64encode(f"ab{value}cd".encode()).decode(),
    "base64 for addresses": lambda value: base64.urlsafe_b64encode(f"é:{value}".encode()).decode(),
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_spellings(value: str, spell: Callable[[str], str]) -> None:
    """A value is taken out wherever it stands in a line, and nothing else of the line."""
    redactor, spelled = Redactor([value]), spell(value)
    for before in range(17):
        text = f"{'.' * before} {spelled} end"
        cleaned = redactor.redact(text)
        assert MASK in cleaned
        assert value not in cleaned
        assert cleaned.startswith("." * before)
        assert cleaned.endswith("end")


def test_a_beginning_is_enough() -> None:
    """A long value that was cut short is found by its first fifteen characters."""
    value = "gAAAAABk-" + "0123456789" * 50
    assert Redactor([value]).redact(f"message={value[:200]} end") == f"message={MASK} end"


def test_short_values() -> None:
    """A value of five characters would be found in half of all words: it is left to its name."""
    redactor = Redactor(["short", ""])
    assert redactor.redact("a short line") == "a short line"
    assert redactor.redact("password=short") == f"password={MASK}"


def test_structures() -> None:
    """Texts in tables and lists are cleaned, keys are kept, and what is behind a secret's name goes whatever it is."""
    redactor = Redactor(["the-known-value"])
    told = {
        "error": ["x the-known-value", ("y", 1, None, 1.5, True)],
        "headers": {"X-Auth-Token": "abc", "n": 3},
        "token": ["a", "b"],
        "password": {"user": "robot", "password": 5},
        "secret": None,
        "path": b"the-known-value",
    }
    assert redactor.redact(told) == {
        "error": [f"x {MASK}", ["y", 1, None, 1.5, True]],
        "headers": {"X-Auth-Token": MASK, "n": 3},
        "token": MASK,
        "password": {"user": "robot", "password": MASK},
        "secret": None,
        "path": f"b'{MASK}'",
    }


def test_forgotten() -> None:
    """A value is known until it was forgotten as often as it was added; then nothing of it is left."""
    redactor, long, short = Redactor(), "a-long-value-of-somebody", "a-short1"
    for value in (long, short):
        redactor.add(value)
        redactor.add(value)
        redactor.remove(value)
        assert redactor.may_contain_secret(f"x {value}")
        redactor.remove(value)
        redactor.remove(value)
        assert not redactor.may_contain_secret(f"x {value}")
    assert not any((redactor._values, redactor._short_variants, redactor._prefixes, redactor._prefix_words))


def test_values_that_begin_alike() -> None:
    """To forget one token is not to forget another that begins with the same header."""
    first, second = "eyJhbGciOiJSUzI1NiJ9.first", "eyJhbGciOiJSUzI1NiJ9.second"
    redactor = Redactor([first, second])
    redactor.remove(first)
    assert redactor.redact(f"{second} end") == f"{MASK} end"


def test_temporary() -> None:
    """A caller's credential is known for a while after its last use, and then forgotten."""
    now = [0.0]
    redactor = Redactor(clock=lambda: now[0])
    redactor.add_temporary("the-credential-of-a-caller", 60.0)
    now[0] = 50.0
    redactor.add_temporary("the-credential-of-a-caller", 60.0)
    now[0] = 100.0
    redactor.add_temporary("the-credential-of-another", 60.0)
    assert redactor.may_contain_secret("the-credential-of-a-caller")
    now[0] = 111.0
    redactor.add_temporary("the-credential-of-another", 60.0)
    assert list(redactor._values) == ["the-credential-of-another"]


def test_lent_again_and_again() -> None:
    """A credential that is always in use does not keep others known that are not."""
    now = [0.0]
    redactor = Redactor(clock=lambda: now[0])
    redactor.add_temporary("the-credential-of-a-caller", 60.0)
    redactor.add_temporary("the-credential-of-another", 60.0)
    for now[0] in (30.0, 59.0, 70.0):
        redactor.add_temporary("the-credential-of-a-caller", 60.0)
    assert list(redactor._values) == ["the-credential-of-a-caller"]


def test_lent_to_many() -> None:
    """A caller with a new credential for every request takes the room of a thousand, not of all of them."""
    redactor = Redactor(clock=lambda: 0.0)
    for number in range(1100):
        redactor.add_temporary(f"credential-number-{number:05}", 60.0)
    assert len(redactor._values) == len(redactor._temporary) == 1000
    assert "credential-number-01099" in redactor._values


@dataclass(frozen=True)
class Inner:
    key: Secret
    name: str = "a-name-that-is-none"


@dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    url: Secret
    table: dict[str, Secret]
    nothing: None = None


def test_secrets_of_settings() -> None:
    """Every Secret is found however deep it lies; of an address it is the password, as written and as meant."""
    settings = Outer(
        (Inner(Secret("first-secret")), Inner(Secret("second-secret"))),
        Secret("postgresql://gateway:p%40ssword@db/gateway?password=another%2B1"),
        {"storage": Secret("redis://:redis-password@h:1/0"), "none": Secret("memory://")},
    )
    assert set(collect_secrets(settings)) == {
        "first-secret", "second-secret", "p%40ssword", "p@ssword", "another%2B1", "another+1", "redis-password",
    }  # fmt: skip


@pytest.fixture
def crowd() -> Redactor:
    """A process that knows a thousand credentials."""
    return Redactor(f"credential-number-{number:05}" for number in range(1000))


def test_how_many_are_known_does_not_matter(crowd: Redactor) -> None:
    """Any of a thousand is found in a line, and a line without one is left alone."""
    assert crowd.redact("it is credential-number-00777, see") == f"it is {MASK}, see"
    line = json.dumps({"message": "request", "backend": "cmdb", "path": "/modules/cmdb.1.10.37825", "status": 200})
    assert not crowd.may_contain_secret(line)
