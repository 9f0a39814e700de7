from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.testbed import eventually
from tests.integration.envoy.mesh import Mesh
from tests.integration.envoy.sidecars import TRIES, TRY_TIMEOUT
from tests.integration.http_client import HttpResponse

pytestmark = [pytest.mark.loopback, pytest.mark.parametrize("backend", ["cmdb", "projectman"])]

#: Headers that identify repetitions; without any, Envoy gives all tries of one request the same id.
HEADERS: Final[Sequence[Mapping[str, str]]] = (
    {"Idempotency-Key": "mesh-{name}"},
    {"X-Request-Id": "mesh-{name}"},
    {},
)
#: Seconds: longer than one try and shorter than all; longer than all.
SLOW: Final = 2.2 * TRY_TIMEOUT
SLOWER: Final = TRY_TIMEOUT * TRIES + 0.4
_numbers: Final = itertools.count(1)


class Caller:
    """Sends the same create any number of times."""

    def __init__(self, mesh: Mesh, backend: str, headers: Mapping[str, str]) -> None:
        self.mesh = mesh
        self.backend = backend
        self.name = f"retried-{next(_numbers)}"
        self._headers = {key: value.format(name=self.name) for key, value in headers.items()}

    def create(self, route: str = "retried-with-timeout") -> HttpResponse:
        body = CreateSpec(self.backend, self.name).body
        return self.mesh.send(route, "POST", "/modules", body, headers=self._headers)

    @property
    def counts(self) -> tuple[int, int]:
        """Return the number of created modules and of creates that arrived at the backend."""
        return self.mesh.testbed.created_count(self.backend, self.name), self.mesh.testbed.sent(self.backend, self.name)


@pytest.fixture
def callers(mesh: Mesh, backend: str) -> list[Caller]:
    """One caller for each way to identify repetitions."""
    return [Caller(mesh, backend, headers) for headers in HEADERS]


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
    return mesh.send("plain", "GET", response.body["instance"]).body
