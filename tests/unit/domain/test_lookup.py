"""Pages of lookups, taken from the responses of a backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.lookup import MAX_READS, LookupBatch, LookupItem, LookupKind, LookupQuery, take_page


def item(number: int, name: str = "x", path: str = "x") -> LookupItem:
    return LookupItem(id=str(number), name=name, path=path)


@pytest.mark.parametrize(
    ("text", "name", "matches"),
    [
        ("", "web", True),
        ("WEB", "my web 1", True),
        ("STRASSE", "Straße 1", True),
        ("ß", "STRASSE", True),
        ("ſ", "S", True),
        ("模块", "a模块b", True),
        (".", "web", False),
        ("w*b", "web", False),
        ("web ", "web", False),
        ("other", "web", False),  # the path of a scope or parent is not searched
    ],
)
def test_text(text: str, name: str, matches: bool) -> None:
    """The text is a part of the name as it is, without patterns, in any case by Unicode's case folding."""
    found = item(1, name, path="other / web")
    for kind in ("scopes", "parents"):
        assert LookupQuery(kind=kind, text=text).matches(found) is matches


def test_owners_are_found_by_their_display_name_too() -> None:
    """The path of an owner is its display name."""
    owner = item(1, name="zhangsan", path="张三")
    assert all(LookupQuery(kind="owners", text=text).matches(owner) for text in ("San", "张"))


@pytest.mark.parametrize(("kind", "matches"), [("scopes", False), ("parents", True), ("owners", True)])
def test_scopes(kind: LookupKind, matches: bool) -> None:
    """The allow-list hides scopes; ids of parents and owners are of another kind."""
    assert LookupQuery(kind=kind, scopes=frozenset({"2"})).matches(item(1)) is matches


@given(sizes=st.lists(st.integers(0, 7), max_size=12), wanted=st.frozensets(st.integers(0, 90)), size=st.integers(1, 9))
def test_pages_together_are_the_list(sizes: list[int], wanted: frozenset[int], size: int) -> None:
    """Every matching item is on one page, in order; a page reads at most MAX_READS responses, and none after the last.

    The responses have any number of items, also none.
    """
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    query = LookupQuery(kind="scopes", scopes=frozenset(map(str, wanted)))
    reads: list[int] = []

    def read(cursor: str | None) -> Iterator[LookupBatch]:
        """Yield the batches from a cursor on, which is the number of a batch and that of an item."""
        first, _, begin = (cursor or "0.0").partition(".")
        for index in range(int(first), len(sizes)):
            reads.append(index)
            numbers = range(starts[index], starts[index] + sizes[index])
            items = [(f"{index}.{number}", item(number)) for number in numbers if number >= int(begin)]
            is_last = index == len(sizes) - 1
            yield LookupBatch(items, None if is_last else f"{index + 1}.0")

    cursor, found, pages = None, [], 0
    while True:
        reads.clear()
        page = take_page(read(cursor), query, size)
        assert len(reads) <= MAX_READS
        assert len(page.items) == size or page.next_cursor is None or len(reads) == MAX_READS
        found += [int(result.id) for result in page.items]
        pages += 1
        if (cursor := page.next_cursor) is None:
            break
    assert found == [number for number in range(sum(sizes)) if number in wanted]
    assert pages <= len(found) // size + len(sizes) + 1
