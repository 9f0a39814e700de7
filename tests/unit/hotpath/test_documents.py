"""JSON by orjson is the JSON that the standard library writes and reads."""

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
def test_what_is_written_is_read_by_anybody(document: Any) -> None:
    """The standard library reads it back as it was."""
    assert repr(json.loads(json_codec.write(document))) == repr(document)
    assert json.loads(json_codec.write_line(document)) == document


@given(st.recursive(st.integers() | _TEXT, lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner), max_leaves=8))
def test_the_text_is_the_same(document: Any) -> None:
    """Without fractions it is letter for letter what the standard library writes: digests of old rows stay theirs."""
    usual = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    assert json_codec.write(document).decode() == usual


@given(_DOCUMENTS)
def test_what_is_read_is_read_alike(document: Any) -> None:
    """Whatever the standard library writes, with escapes or without, is read to the same values of the same types."""
    for ascii_only in (True, False):
        assert repr(json_codec.read(json.dumps(document, ensure_ascii=ascii_only))) == repr(document)


@given(st.dictionaries(_TEXT, st.dictionaries(_TEXT, st.integers(), max_size=4), max_size=4))
def test_equal_documents_have_one_form(document: dict[str, Any]) -> None:
    """The order in which keys were given does not show."""
    turned = {key: dict(reversed(value.items())) for key, value in reversed(document.items())}
    assert json_codec.write_sorted(turned) == json_codec.write_sorted(document)


@pytest.mark.parametrize("odd", [2**64, -(2**63) - 1, 10**30])
def test_long_integers(odd: int) -> None:
    """Integers of more than 64 bits are written whole, in every form."""
    for write in (json_codec.write, json_codec.write_sorted):
        assert write({"b": odd, "a": 1}) in {f'{{"b":{odd},"a":1}}'.encode(), f'{{"a":1,"b":{odd}}}'.encode()}
    assert json_codec.write_line([odd]) == f"[{odd}]"


def test_what_is_too_long_to_be_read() -> None:
    """Longer integers are read as the nearest fraction, never as another integer; no format here has any."""
    assert repr(json_codec.read(str(2**64 + 1))) == repr(float(2**64))
    assert repr(json_codec.read(str(2**64 - 1))) == str(2**64 - 1)


def test_sorted_where_orjson_declines() -> None:
    """Equal documents have one form with the odd in them, too."""
    assert json_codec.write_sorted({"b": 2**64, "a": 1}) == json_codec.write_sorted({"a": 1, "b": 2**64})


def test_half_a_pair() -> None:
    """Half of a surrogate pair is no document, neither to read nor to write; in a log it is escaped."""
    with pytest.raises(ValueError, match="surrogates"):
        json_codec.read(b'"\\ud800"')
    with pytest.raises(ValueError, match="surrogates"):
        json_codec.write("\ud800")
    assert json_codec.write_line({"a": "\ud800"}) == '{"a":"\\ud800"}'


@pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b"1e400"])
def test_numbers_that_are_none(text: bytes) -> None:
    """What only the standard library takes for a number is read as it reads it."""
    assert repr(json_codec.read(text)) == repr(json.loads(text))
    assert not math.isfinite(next(iter(json_codec.read(b"[" + text.strip(b"[]") + b"]"))))


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"a":1}x', b"'a'", "{"])
def test_no_document(text: bytes | str) -> None:
    """What is none is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        json_codec.read(text)


@dataclass
class _Pair:
    name: str
    secret: str

    def __str__(self) -> str:
        return "a pair"


@pytest.mark.parametrize("odd", [_Pair("n", "hidden"), datetime(2020, 1, 1, tzinfo=UTC)])
def test_objects_do_not_open_up(odd: object) -> None:
    """What is no JSON is refused, though orjson could look inside; in a log it is what it says of itself."""
    for write in (json_codec.write, json_codec.write_sorted):
        with pytest.raises(TypeError):
            write({"odd": odd})
    assert json_codec.write_line({"odd": odd}) == json.dumps({"odd": str(odd)}, separators=(",", ":"))


@pytest.mark.parametrize("text", ["é", "\u2028", "a\nb", "\x85", "\U0001f600"])
def test_a_line_is_one_line(text: str) -> None:
    """A log's line is ASCII without line feeds, whatever a value holds: no reader can take it for two."""
    line = json_codec.write_line({"a": text})
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"a": text}
