from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.chaos.caller import Wanted
from tests.integration.chaos.http import Answer, ask
from tests.integration.chaos.stand import Shape, Stand

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

CALLERS = 200
#: Whoever waits for his turn on two cores must not be told that it takes long.
PATIENT = Shape(workers=2, deadline=30.0, hard=30.0)


@pytest.fixture(scope="module")
def shape() -> Shape:
    return PATIENT


def _at_once(stand: Stand, wanted: Callable[[int], Wanted]) -> list[Answer]:
    """Let all callers ask at the same time, each by a connection of his own."""

    def one(number: int) -> Answer:
        return ask(stand.addresses[0], "POST", "/modules", wanted(number).body, wanted(number).headers)

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(one, range(CALLERS)))


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
@pytest.mark.parametrize("by", ["key", "request-id"])
def test_identical_creates_are_sent_once(shared_stand: Stand, backend: str, by: str) -> None:
    """200 equal creates at once, through two workers: one is sent, and all are answered 201 with its module."""
    stand, name = shared_stand, f"same-{by}"
    stand.fault(backend, {"fault": "delay", "seconds": 0.3})
    answers = _at_once(stand, lambda _: Wanted(backend, name, by))
    assert {answer.status for answer in answers} == {201}, answers[0].body
    assert all(answer.body == answers[0].body for answer in answers)
    assert (stand.sent(backend, name), stand.creates_of(backend, name)) == (1, 1)
    assert stand.live() == 0


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
def test_different_creates_all_happen(shared_stand: Stand, backend: str) -> None:
    """200 different creates at once, through two workers: 200 modules, each made by one request."""
    stand = shared_stand
    already, sent = len(stand.created(backend)), stand.sent(backend)
    answers = _at_once(stand, lambda number: Wanted(backend, f"module-{number}"))
    assert {answer.status for answer in answers} == {201}, answers[0].body
    made = [answer.body["native_id"] for answer in answers]
    assert len(set(made)) == CALLERS
    assert set(made) == {str(entry["id"]) for entry in stand.created(backend)[already:]}
    assert stand.sent(backend) - sent == CALLERS
    assert stand.live() == 0
