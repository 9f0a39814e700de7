from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.integration.chaos.caller import Wanted
from tests.integration.chaos.http import Answer
from tests.integration.chaos.stand import eventually
from tests.integration.envoy.sidecars import PER_TRY, TRIES
from tests.integration.envoy.stand import Mesh

pytestmark = [pytest.mark.loopback, pytest.mark.parametrize("backend", ["cmdb", "projectman"])]

#: What a caller sends so that his repetitions are known; Envoy itself gives all tries of one request one id.
HEADERS: Final[Sequence[Mapping[str, str]]] = (
    {"Idempotency-Key": "mesh-{name}"},
    {"X-Request-Id": "mesh-{name}"},
    {},
)
#: Slower than one try and faster than all of them; slower than all of them; seconds.
SLOW: Final = 2.2 * PER_TRY
SLOWER: Final = PER_TRY * TRIES + 0.4
_numbers: Final = itertools.count(1)


class Caller:
    """Creates one module, as often as he likes."""

    def __init__(self, mesh: Mesh, backend: str, headers: Mapping[str, str]) -> None:
        self.mesh = mesh
        self.backend = backend
        self.name = f"retried-{next(_numbers)}"
        self._headers = {key: value.format(name=self.name) for key, value in headers.items()}

    def create(self, way: str = "hasty") -> Answer:
        body = Wanted(self.backend, self.name).body
        return self.mesh.ask(way, "POST", "/modules", body, headers=self._headers)

    @property
    def times(self) -> tuple[int, int]:
        """Return how often the module was made and how often the create arrived at the backend."""
        return self.mesh.stand.creates_of(self.backend, self.name), self.mesh.stand.sent(self.backend, self.name)


@pytest.fixture
def callers(mesh: Mesh, backend: str) -> list[Caller]:
    """One caller for each thing by which repetitions are known."""
    return [Caller(mesh, backend, headers) for headers in HEADERS]


@pytest.fixture
def delayed(mesh: Mesh, backend: str) -> Iterator[Callable[[float], None]]:
    """Lets the backend take so many seconds for every create, before it commits."""
    yield lambda seconds: mesh.stand.fault(backend, {"fault": "delay", "seconds": seconds, "times": -1})
    mesh.stand.twin(backend, "DELETE", "faults")


def test_a_sidecars_retries_make_one_module(
    mesh: Mesh, callers: list[Caller], delayed: Callable[[float], None]
) -> None:
    """While Envoy gives up each try before the backend has answered, the tries find one create and get its module."""
    delayed(SLOW)
    before = _retries(mesh)
    answers = _create(callers)
    assert [(answer.status, answer.headers.get("idempotency-replayed")) for answer in answers] == [(201, "true")] * 3
    assert _retries(mesh) - before >= len(callers) * int(SLOW / PER_TRY)
    assert [caller.times for caller in callers] == [(1, 1)] * 3


def test_when_all_tries_are_too_short_the_answer_is_honest(
    mesh: Mesh, callers: list[Caller], delayed: Callable[[float], None]
) -> None:
    """When the last try ends too soon it is a 504 whose operation ends as succeeded; asked again, it is the module."""
    delayed(SLOWER)
    answers = _create(callers)
    assert {answer.status for answer in answers} == {504}
    for answer in answers:
        if answer.code:  # else the machine was so busy that Envoy was faster, and said so in its own words
            assert (answer.code, answer.headers["gateway-outcome"]) == ("outcome_unknown", "unknown")
            assert eventually(lambda at=answer: _operation(mesh, at)["state"] == "succeeded", 20)  # type: ignore[misc]
    assert {caller.create("plain").status for caller in callers[:2]} == {201}
    assert [caller.times for caller in callers] == [(1, 1)] * 3


def _create(callers: Sequence[Caller]) -> list[Answer]:
    with ThreadPoolExecutor(len(callers)) as pool:
        return list(pool.map(Caller.create, callers))


def _retries(mesh: Mesh) -> int:
    return mesh.outer.count("cluster.portal.upstream_rq_retry")


def _operation(mesh: Mesh, answer: Answer) -> Any:
    return mesh.ask("plain", "GET", answer.body["instance"]).body
