from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.caller import Wanted
from tests.chaos.conftest import Stands
from tests.chaos.http import Answer, ask
from tests.chaos.stand import Shape, Stand

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

CALLERS = 200
#: Whoever waits for his turn on two cores must not be told that it takes long.
PATIENT = Shape(workers=2, deadline=30.0, hard=30.0)


def _at_once(stand: Stand, wanted: Callable[[int], Wanted]) -> list[Answer]:
    """Let all callers ask at the same time, each by a connection of his own."""

    def one(number: int) -> Answer:
        return ask(stand.addresses[0], "POST", "/modules", wanted(number).body, wanted(number).headers)

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(one, range(CALLERS)))


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
@pytest.mark.parametrize("by", ["key", "request-id"])
def test_identical_creates_are_sent_once(stands: Stands, backend: str, by: str) -> None:
    """200 equal creates at once, through two workers: one is sent, and all are answered 201 with its module."""
    stand = stands(PATIENT)
    stand.fault(backend, {"fault": "delay", "seconds": 0.3})
    answers = _at_once(stand, lambda _: Wanted(backend, "same", by))
    assert {answer.status for answer in answers} == {201}
    assert all(answer.body == answers[0].body for answer in answers)
    assert stand.sent(backend) == 1
    assert len(stand.created(backend)) == 1
    assert stand.live() == 0


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
def test_different_creates_all_happen(stands: Stands, backend: str) -> None:
    """200 different creates at once, through two workers: 200 modules, each made by one request."""
    stand = stands(PATIENT)
    answers = _at_once(stand, lambda number: Wanted(backend, f"module-{number}"))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body["id"] for answer in answers}) == CALLERS
    assert stand.sent(backend) == CALLERS
    assert {str(entry["id"]) for entry in stand.created(backend)} == {answer.body["native_id"] for answer in answers}
    assert stand.live() == 0
