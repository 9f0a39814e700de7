"""The Chinese catalogue: everything that is said has its words, nothing else has, and values come through whole."""

from __future__ import annotations

import re
from collections import Counter
from string import Formatter
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.api.i18n.catalogue import Catalogue
from gateway.api.i18n.zh_hans import TABLES, TEMPLATES
from gateway.api.json_body import parse_json_object
from gateway.domain.errors import InvalidJson
from tests.unit.api.spoken import Reader

SPOKEN: Final = Reader()
CATALOGUE: Final = Catalogue(TEMPLATES)
#: One body for each way in which this Python's parser finds JSON's syntax broken.
BROKEN: Final = (
    b"", b"{", b'{"a" 1}', b'{"a":1 "b"}', b'{"a', b'{"a\n":1}', b'{"\\q":1}', b'{"\\u12":1}', b"{} x",
    b"\xef\xbb\xbf{}",
)  # fmt: skip
#: English words and what stands for them, everywhere.
GLOSSARY: Final = {
    r"applied": "生效",
    r"backend|backend's|backends": "后端",
    r"caller|caller's": "调用方",
    r"connection|connection's": "连接",
    r"credentials?": "凭据",
    r"deadline": "截止时间",
    r"description": "描述",
    r"gateway|gateway's": "网关",
    r"Idempotency-Key": "幂等键",
    r"journal|journal's": "操作日志",
    r"modules?": "模块",
    r"operation (has|at)|operations": "操作",
    r"operator": "运维人员",
    r"owners?": "负责人",
    r"parent": "父",
    r"projects?": "项目",
    r"Retry(?!-)": "重试",
    r"scope": "作用域",
    r"sets?": "集群",
    r"tokens?": "令牌",
}
_HAN: Final = "\u3400-\u9fff"
_ANY: Final = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("'\"{}%\\“”模块 {"), max_size=12)
#: Numbers, ids and names of ours, which hold no white space.
_PLAIN: Final = _ANY.map(lambda text: "".join(text.split()))


def _values(template: str) -> list[int]:
    """Return the numbers of a template's values; those without one count up."""
    names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    return [int(name or number) for number, name in enumerate(names)]


def _syntax(body: bytes) -> str:
    """Return how a body's broken syntax is told."""
    with pytest.raises(InvalidJson) as told:
        parse_json_object(body)
    return told.value.detail


@pytest.fixture(scope="module")
def heard() -> set[str]:
    """What no code of ours says in so many words: the messages of Python's parser."""
    return {re.sub(r"line \d+ column \d+", "line {} column {}", _syntax(body)) for body in BROKEN}


def test_everything_can_be_read() -> None:
    """Whatever the code says to a caller, the reader of the code has found out what it is."""
    assert not SPOKEN.unreadable, "\n".join(SPOKEN.unreadable)


def test_complete(heard: set[str]) -> None:
    """Every sentence that the code or its parser can say to a caller has its translation."""
    said = {**SPOKEN.said, **dict.fromkeys(heard, "json")}
    missing = [f"{place} says {sentence!r}" for sentence, place in said.items() if sentence not in TEMPLATES]
    assert not missing, "\n".join(missing)


def test_alive(heard: set[str]) -> None:
    """No translation is kept of what nobody says any more."""
    assert sorted(TEMPLATES.keys() - SPOKEN.said.keys() - heard) == []


def test_once() -> None:
    """No sentence stands in two tables, where one translation would hide the other."""
    assert [each for each, count in Counter(each for table in TABLES for each in table).items() if count > 1] == []


def test_same_values() -> None:
    """A translation names each of its sentence's values once, and no other."""
    assert [each for each, told in TEMPLATES.items() if sorted(_values(told)) != _values(each)] == []


@pytest.mark.parametrize("template", [template for template in TEMPLATES if _values(template)])
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_found_again(template: str, data: st.DataObject) -> None:
    """A sentence filled with any values is found, and told with the same values, each in its place."""
    values = [data.draw(_PLAIN if number else _ANY) for number in _values(template)]
    assert CATALOGUE.translate(template.format(*values)) == TEMPLATES[template].format(*values)


def test_whole_sentences() -> None:
    """A sentence is found as it stands, and not within another, which stays as it is."""
    for sentence in (each for each in TEMPLATES if not _values(each)):
        assert CATALOGUE.translate(sentence) == TEMPLATES[sentence]
        for other in (f"{sentence} And", f"And {sentence}", sentence.upper()):
            assert CATALOGUE.translate(other) == other
    for template in (each for each in TEMPLATES if _values(each)):
        other = template.format(*"1234") + " And"
        assert CATALOGUE.translate(other) == other


def test_most_specific() -> None:
    """Of two templates that fit, the one with more words of its own is taken; a doubled brace is a brace."""
    catalogue = Catalogue(
        {"{} of {}": "{1}之{0}", "one of {}": "{}之一", "a {{}} in {}": "{}中的{{}}", "{{}}": "{{空}}"}
    )
    assert catalogue.translate("one of many") == "many之一"
    assert catalogue.translate("two of many of them") == "them之two of many"
    assert catalogue.translate("a {} in b") == "b中的{}"
    assert catalogue.translate("{}") == "{空}"


def test_typography() -> None:
    """Punctuation beside Chinese is full-width, digits and Latin words stand apart, and a sentence ends as one."""
    for sentence, told in TEMPLATES.items():
        assert not re.search(rf"[{_HAN}][,;:?!().]|[,;:?!().][{_HAN}]", told), told
        assert not re.search(rf"[{_HAN}][A-Za-z0-9{{`]|[A-Za-z0-9}}`][{_HAN}]", told), told
        assert not re.search(r"[，。；：、（）“”] | [，。；：、（）”]", told), told
        assert told.endswith("。") == sentence.endswith("."), told


@pytest.mark.parametrize(("english", "chinese"), GLOSSARY.items())
def test_glossary(english: str, chinese: str) -> None:
    """A word of the gateway's language is the same Chinese word wherever it stands."""
    word = re.compile(rf"(?<![\w/-])({english})(?![\w-])", re.IGNORECASE)
    uses = [each for each in TEMPLATES if word.search(each)]
    assert uses
    assert [TEMPLATES[each] for each in uses if chinese not in TEMPLATES[each]] == []
