from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.testbed import eventually
from tests.integration.envoy.mesh import Mesh
from tests.integration.envoy.sidecars import TRIES, TRY_TIMEOUT
from tests.integration.http_client import HttpResponse, send

pytestmark = [pytest.mark.loopback, pytest.mark.parametrize("backend", ["cmdb", "projectman"])]

#: Seconds: longer than one try and shorter than all; longer than all.
SLOW: Final = 2.2 * TRY_TIMEOUT
SLOWER: Final = TRY_TIMEOUT * TRIES + 0.4
_numbers: Final = itertools.count(1)


@dataclass(frozen=True)
class Caller:
    """Sends the same create any number of times."""

    mesh: Mesh
    spec: CreateSpec
    headers: Mapping[str, str]

    def create(self, route: str = "retried-with-timeout") -> HttpResponse:
        return self.spec.send(self.mesh.address(route), self.headers)

    @property
    def counts(self) -> tuple[int, int]:
        """The number of created modules and of creates that arrived at the backend."""
        backend, name = self.spec.backend, self.spec.name
        return self.mesh.testbed.created_count(backend, name), self.mesh.testbed.sent(backend, name)


@pytest.fixture
def callers(mesh: Mesh, backend: str) -> list[Caller]:
    """One caller for each way to identify repetitions; without any, Envoy gives all tries of a request the same id."""
    names = [f"retried-{next(_numbers)}" for _ in range(3)]
    headers = [{"Idempotency-Key": f"mesh-{names[0]}"}, {"X-Request-Id": f"mesh-{names[1]}"}, {}]
    return [Caller(mesh, CreateSpec(backend, name), header) for name, header in zip(names, headers, strict=True)]


@pytest.fixture
def delayed(mesh: Mesh, backend: str) -> Iterator[Callable[[float], None]]:
    """Delays every create in the backend by a number of seconds, before it commits."""
    yield lambda seconds: mesh.testbed.fault(backend, {"fault": "delay", "seconds": seconds, "times": -1})
    mesh.testbed.twin(backend, "DELETE", "faults")


def test_retries_of_a_sidecar_create_one_module(
    mesh: Mesh, callers: list[Caller], delayed: Callable[[float], None]
) -> None:
    """If each try of Envoy times out before the backend responds, the tries share one create and get its module."""
    delayed(SLOW)
    retries_before = _retries(mesh)
    responses = _create(callers)
    assert [(response.status, response.headers.get("idempotency-replayed")) for response in responses] == [
        (201, "true")
    ] * 3
    assert _retries(mesh) - retries_before >= len(callers) * int(SLOW / TRY_TIMEOUT)
    assert [caller.counts for caller in callers] == [(1, 1)] * 3


def test_all_tries_time_out(mesh: Mesh, callers: list[Caller], delayed: Callable[[float], None]) -> None:
    """If the last try times out, the caller gets 504 and the operation succeeds; a repetition gets the module."""
    delayed(SLOWER)
    responses = _create(callers)
    assert {response.status for response in responses} == {504}
    for response in responses:
        if response.code:  # on a busy machine Envoy may time out first and send its own response
            assert (response.code, response.headers["gateway-outcome"]) == ("outcome_unknown", "unknown")
            assert eventually(lambda r=response: _operation(mesh, r)["state"] == "succeeded", 20)  # type: ignore[misc]
    assert {caller.create("plain").status for caller in callers[:2]} == {201}
    assert [caller.counts for caller in callers] == [(1, 1)] * 3


def _create(callers: Sequence[Caller]) -> list[HttpResponse]:
    with ThreadPoolExecutor(len(callers)) as pool:
        return list(pool.map(Caller.create, callers))


def _retries(mesh: Mesh) -> int:
    return mesh.outer.count("cluster.portal.upstream_rq_retry")


def _operation(mesh: Mesh, response: HttpResponse) -> Any:
    return send(mesh.address(), "GET", response.body["instance"]).body
