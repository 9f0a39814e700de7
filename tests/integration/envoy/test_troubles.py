from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import pytest

from tests.integration.chaos.caller import Wanted
from tests.integration.chaos.http import Answer
from tests.integration.envoy.stand import Mesh
from tests.integration.envoy.troubles import SWITCH, TROUBLES

pytestmark = pytest.mark.loopback

BACKENDS: Final = ("cmdb", "projectman")
BY: Final = ("key", "request-id")
#: How long a caller waits: not until everything has settled, so that some are told *unknown*; and long enough; seconds.
HASTY: Final = 1.2
PATIENT: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Story:
    """What became of one create: the first answer, what there was when all had settled, and the answer after that."""

    first: Answer
    made: int
    operation: Mapping[str, Any] | None
    again: Answer
    made_again: int


@dataclass(frozen=True)
class Cell:
    """One create: through which trouble, in which backend, how its repetition is known."""

    trouble: str
    backend: str
    by: str

    def __str__(self) -> str:
        return f"{self.trouble}-{self.backend}-{self.by}"

    @property
    def name(self) -> str:
        return f"{self.trouble}-{self.by}"

    def ask(self, mesh: Mesh, patience: float) -> Answer:
        key = {"Idempotency-Key": f"troubled-{self}"} if self.by == "key" else {}
        told = {"X-Request-Timeout-Ms": str(int(patience * 1000))}
        headers = {"X-Request-Id": f"{self.trouble}.{self.backend}-{self.by}", **told, **key}
        return mesh.ask("plain", "POST", "/modules", Wanted(self.backend, self.name).body, headers=headers)

    def made(self, mesh: Mesh) -> int:
        return mesh.stand.creates_of(self.backend, self.name)


CELLS: Final = tuple(Cell(trouble.name, *rest) for trouble, *rest in product(TROUBLES, BACKENDS, BY))


@pytest.fixture(scope="module")
def stories(mesh: Mesh) -> Mapping[Cell, Story]:
    """All creates at once; when their operations have ended and the trouble is over, all of them again."""
    with ThreadPoolExecutor(len(CELLS)) as pool:
        mesh.inner.turn(SWITCH, 100)
        first = list(pool.map(lambda cell: cell.ask(mesh, HASTY), CELLS))
        assert mesh.stand.settles()
        made = [cell.made(mesh) for cell in CELLS]
        operations = [_operation(mesh, answer) for answer in first]
        mesh.inner.turn(SWITCH, 0)
        again = list(pool.map(lambda cell: cell.ask(mesh, PATIENT), CELLS))
        made_again = [cell.made(mesh) for cell in CELLS]
    return {
        cell: Story(first=row[0], made=row[1], operation=row[2], again=row[3], made_again=row[4])
        for cell, *row in zip(CELLS, first, made, operations, again, made_again, strict=True)
    }


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_every_answer_is_honest_and_the_module_is_made_once(stories: Mapping[Cell, Story], cell: Cell) -> None:
    """What the first answer says of its create is what has become of it; asked again, there is one module."""
    story = stories[cell]
    outcome = story.first.headers["gateway-outcome"]
    assert story.first.status in {201, 429, 502, 503, 504}
    assert (outcome == "applied") == (story.first.status == 201)
    assert (outcome == "unknown") == (story.first.status == 504)
    if outcome == "unknown":
        assert story.operation
        assert story.operation["state"] == ("succeeded" if story.made else "not_applied")
    else:
        assert story.made == (1 if outcome == "applied" else 0)
    assert (story.again.status, story.made_again) == (201, 1)


def test_the_troubles_struck(stories: Mapping[Cell, Story]) -> None:
    """Each trouble let the first create through or not, as it was meant to; both were met with an *unknown*."""
    made = {(cell.trouble, story.made) for cell, story in stories.items()}
    assert made == {(trouble.name, int(trouble.comes)) for trouble in TROUBLES}
    assert {story.made for story in stories.values() if story.first.headers["gateway-outcome"] == "unknown"} == {0, 1}


def _operation(mesh: Mesh, answer: Answer) -> Mapping[str, Any] | None:
    instance = answer.body.get("instance")
    found: Mapping[str, Any] | None = mesh.ask("plain", "GET", instance).body if instance else None
    return found
