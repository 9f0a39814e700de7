"""The reader of the code: it hears what a small package says, in whatever way it is said, and owns up to the rest."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from gateway.domain.errors import REGISTRY
from tests.unit.api.spoken import Reader

Hear = Callable[[str], tuple[AbstractSet[str], list[str]]]


@pytest.fixture
def hear(tmp_path: Path) -> Hear:
    """Return the sentences of one file's code, and what cannot be read of it."""

    def of(code: str) -> tuple[AbstractSet[str], list[str]]:
        (tmp_path / "one").mkdir()
        (tmp_path / "one/file.py").write_text(code, encoding="utf-8")
        reader = Reader(tmp_path / "one")
        of_classes = {each for error in REGISTRY.values() for each in (error.title, error.description())}
        return reader.said.keys() - of_classes, reader.unreadable

    return of


@pytest.mark.parametrize(
    ("code", "sentences"),
    [
        ("raise NotFound('A.')", {"A."}),
        ("raise errors.NotFound('A.')", {"A."}),
        ("raise NotFound(detail='A.')", {"A."}),
        ("raise NotFound", set()),
        ("raise NotFound(None, existing='B.')", set()),
        ("error(f'A {b}.', evidence=c)", {"A {}."}),
        ("REGISTRY.get(code, BackendError)('A.', errors=[])", {"A."}),
        ("journal.settle('A.', evidence={})", set()),
        ("raise NotFound('{} ' + f'{{}}')", {"{{}} {{}}"}),
        ("raise NotFound('A.' if b else 'C.')", {"A.", "C."}),
        ("raise NotFound(b or 'C.')\nb = 'A.'", {"A.", "C."}),
        ("B = 'b'\nraise NotFound(f'A {B} {c}.')", {"A b {}."}),
        ("raise NotFound(f\"A {' or '.join(b)}.\")", {"A {}.", "A {} or {}."}),
        ("def f(b):\n    c = f'C {b}' if b else 'C'\n    raise NotFound(f'A {c}.')", {"A C {}.", "A C."}),
        ("def f(self, b):\n    raise NotFound(f'A {b}.')\nx.f('B')\nx.f('C')", {"A B.", "A C."}),
        ("def f(b):\n    return b.msg\nraise NotFound(f'A {f(1)}.')", {"A {}."}),
        ("def f(b):\n    if b:\n        return 'A.'\n    return 'B.'\nraise NotFound(f(1))", {"A.", "B."}),
        ("def f():\n    def g():\n        raise NotFound(b)\n    b = 'A.'", {"A."}),
        ("W: Final = {'a': 'A.', 'b': 'B.'}\nFieldError(p, c, W[c])", {"A.", "B."}),
        ("FieldError('/a', 'b', 'A.', 'C.')", {"A.", "C."}),
        ("FieldError(code='b', pointer='/a', detail='A.', allowed='C.')", {"A.", "C."}),
        ("FieldError('/a', 'b', error.title, self.allowed)", set()),
        ("FieldError(**each)", set()),
        ("Field(name='a', allowed='A.', meaning='B.')", {"A."}),
        ("raise ValueError('A.')", set()),
        ("quote('A.', errors='replace')", set()),
    ],
)
def test_heard(hear: Hear, code: str, sentences: set[str]) -> None:
    """Each way of saying something is followed to its words; what is no error's, is nobody's business."""
    assert hear(code) == (sentences, [])


@pytest.mark.parametrize("what", ["b", "b()", "b.c", "b[0]", "W[0]", "str(b)", "f'{b}' % c"])
def test_not_understood(hear: Hear, what: str) -> None:
    """What cannot be followed is named with its place, and passed over nowhere."""
    said, unreadable = hear(f"W = [1]\n\nraise NotFound({what})")
    assert said == set()
    (line,) = unreadable
    assert line.startswith("one/file.py:3: ")


def test_two_of_a_name(tmp_path: Path) -> None:
    """A name is looked up in its own file first, and elsewhere where only one file has it."""
    (tmp_path / "a.py").write_text("B = 'A.'\nC = 'C.'\nraise NotFound(B)", encoding="utf-8")
    (tmp_path / "b.py").write_text("B = 'B.'\nraise NotFound(B or C)", encoding="utf-8")
    (tmp_path / "c.py").write_text("from b import B\nraise NotFound(B)", encoding="utf-8")
    reader = Reader(tmp_path)
    assert {"A.", "B.", "C."} <= reader.said.keys()
    assert reader.unreadable == [f"{tmp_path.name}/c.py:2: B"]


def test_where(tmp_path: Path) -> None:
    """A sentence is told with its file and line."""
    (tmp_path / "file.py").write_text("\nraise NotFound('A.')\n", encoding="utf-8")
    assert Reader(tmp_path).said["A."] == f"{tmp_path.name}/file.py:2"
