"""JSON with orjson equals the JSON of the standard library."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import json_codec

_TEXT: Final = st.text(st.characters(codec="utf-8"), max_size=8)
_NUMBERS: Final = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_DOCUMENTS: Final = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(_DOCUMENTS)
def test_round_trip_through_the_standard_library(document: Any) -> None:
    """The standard library decodes the encoded document unchanged."""
    assert repr(json.loads(json_codec.dumps(document))) == repr(document)
    assert json.loads(json_codec.dumps_log_line(document)) == document


@given(st.recursive(st.integers() | _TEXT, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=8))
def test_same_text(document: Any) -> None:
    """Without floats the text equals the standard library's: digests of existing rows stay valid."""
    expected = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    assert json_codec.dumps(document).decode() == expected


@given(_DOCUMENTS)
def test_decoding(document: Any) -> None:
    """The standard library's text, with escapes or without, is decoded to the same values and types."""
    for ascii_only in (True, False):
        assert repr(json_codec.loads(json.dumps(document, ensure_ascii=ascii_only))) == repr(document)


@given(st.dictionaries(_TEXT, st.dictionaries(_TEXT, st.integers(), max_size=4), max_size=4))
def test_canonical(document: dict[str, Any]) -> None:
    """The order of keys does not change the canonical form."""
    reordered = {key: dict(reversed(value.items())) for key, value in reversed(document.items())}
    assert json_codec.dumps_canonical(reordered) == json_codec.dumps_canonical(document)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**30])
def test_long_integers(value: int) -> None:
    """Integers of more than 64 bits are encoded exactly, in every form."""
    for dump in (json_codec.dumps, json_codec.dumps_canonical):
        assert dump({"b": value, "a": 1}) in {f'{{"b":{value},"a":1}}'.encode(), f'{{"a":1,"b":{value}}}'.encode()}
    assert json_codec.dumps_log_line([value]) == f"[{value}]"


def test_long_integers_are_decoded_as_floats() -> None:
    """Longer integers are decoded as the nearest float, never as another integer."""
    assert repr(json_codec.loads(str(2**64 + 1))) == repr(float(2**64))
    assert repr(json_codec.loads(str(2**64 - 1))) == str(2**64 - 1)


def test_canonical_with_the_standard_library() -> None:
    """Equal documents have one canonical form also if orjson rejects them."""
    assert json_codec.dumps_canonical({"b": 2**64, "a": 1}) == json_codec.dumps_canonical({"a": 1, "b": 2**64})


def test_unpaired_surrogate() -> None:
    """An unpaired surrogate can be neither decoded nor encoded; in a log it is escaped."""
    with pytest.raises(ValueError, match="surrogates"):
        json_codec.loads(b'"\\ud800"')
    with pytest.raises(ValueError, match="surrogates"):
        json_codec.dumps("\ud800")
    assert json_codec.dumps_log_line({"a": "\ud800"}) == '{"a":"\\ud800"}'


@pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b"1e400"])
def test_not_finite_numbers(text: bytes) -> None:
    """Numbers that only the standard library accepts are decoded as it does."""
    assert repr(json_codec.loads(text)) == repr(json.loads(text))
    assert not math.isfinite(next(iter(json_codec.loads(b"[" + text.strip(b"[]") + b"]"))))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"a":1}x', b"'a'", "{"])
def test_malformed(text: bytes | str) -> None:
    """Malformed JSON raises ValueError."""
    with pytest.raises(ValueError, match=r"."):
        json_codec.loads(text)


@dataclass
class _Pair:
    name: str
    secret: str

    def __str__(self) -> str:
        return "a pair"


@pytest.mark.parametrize("value", [_Pair("n", "hidden"), datetime(2020, 1, 1, tzinfo=UTC)])
def test_objects_are_rejected(value: object) -> None:
    """An object that is not JSON is rejected, though orjson could encode it; in a log it is its `str`."""
    for dump in (json_codec.dumps, json_codec.dumps_canonical):
        with pytest.raises(TypeError):
            dump({"value": value})
    assert json_codec.dumps_log_line({"value": value}) == json.dumps({"value": str(value)}, separators=(",", ":"))


@pytest.mark.parametrize("text", ["é", "\u2028", "a\nb", "\x85", "\U0001f600"])
def test_log_line(text: str) -> None:
    """A log line is ASCII without line feeds, whatever its values contain."""
    line = json_codec.dumps_log_line({"a": text})
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"a": text}
