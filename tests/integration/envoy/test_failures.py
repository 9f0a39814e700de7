from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.envoy.mesh import Mesh
from tests.integration.envoy.sidecars import FAILURES, RUNTIME_KEY
from tests.integration.http_client import HttpResponse, send

pytestmark = pytest.mark.loopback

BACKENDS: Final = ("cmdb", "projectman")
BY: Final = ("key", "request-id")
#: The caller's timeouts in seconds: too short for some creates, which are then unknown; and long enough for all.
SHORT_TIMEOUT: Final = 1.2
LONG_TIMEOUT: Final = 10.0


@dataclass(frozen=True)
class Result:
    """The first response to a create, the state after all have settled, and the response to a repetition."""

    first: HttpResponse
    created: int
    operation: Mapping[str, Any] | None
    repeated: HttpResponse
    created_finally: int


@dataclass(frozen=True)
class Cell:
    """One create: its failure, its backend, and how its repetition is identified."""

    failure: str
    backend: str
    by: str

    def __str__(self) -> str:
        return f"{self.failure}-{self.backend}-{self.by}"

    @property
    def name(self) -> str:
        return f"{self.failure}-{self.by}"

    def create(self, mesh: Mesh, timeout: float) -> HttpResponse:
        headers = {
            "X-Request-Id": f"{self.failure}.{self.backend}-{self.by}",
            "X-Request-Timeout-Ms": str(int(timeout * 1000)),
            **({"Idempotency-Key": f"failure-{self}"} if self.by == "key" else {}),
        }
        return CreateSpec(self.backend, self.name).send(mesh.address(), headers)

    def created_count(self, mesh: Mesh) -> int:
        return mesh.testbed.created_count(self.backend, self.name)


CELLS: Final = tuple(Cell(failure.name, *rest) for failure, *rest in product(FAILURES, BACKENDS, BY))


@pytest.fixture(scope="module")
def results(mesh: Mesh) -> Mapping[Cell, Result]:
    """All creates at once with failures; after their operations have ended, all of them again without failures."""
    with ThreadPoolExecutor(len(CELLS)) as pool:
        mesh.inner.set_runtime(RUNTIME_KEY, 100)
        first = list(pool.map(lambda cell: cell.create(mesh, SHORT_TIMEOUT), CELLS))
        assert mesh.testbed.wait_until_settled()
        created = [cell.created_count(mesh) for cell in CELLS]
        operations = [_operation(mesh, response) for response in first]
        mesh.inner.set_runtime(RUNTIME_KEY, 0)
        repeated = list(pool.map(lambda cell: cell.create(mesh, LONG_TIMEOUT), CELLS))
        finally_created = [cell.created_count(mesh) for cell in CELLS]
    rows = zip(first, created, operations, repeated, finally_created, strict=True)
    return {cell: Result(*row) for cell, row in zip(CELLS, rows, strict=True)}


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_outcome_is_correct_and_module_is_created_once(results: Mapping[Cell, Result], cell: Cell) -> None:
    """The outcome of the first response agrees with the ledger; after a repetition there is one module."""
    result = results[cell]
    outcome = result.first.headers["gateway-outcome"]
    assert result.first.status in {201, 429, 502, 503, 504}
    assert (outcome == "applied") == (result.first.status == 201)
    assert (outcome == "unknown") == (result.first.status == 504)
    if outcome == "unknown":
        assert result.operation
        assert result.operation["state"] == ("succeeded" if result.created else "not_applied")
    else:
        assert result.created == (1 if outcome == "applied" else 0)
    assert (result.repeated.status, result.created_finally) == (201, 1)


def test_failures_had_their_effect(results: Mapping[Cell, Result]) -> None:
    """Each failure applied the first create or not, as declared; among the unknown creates there are both."""
    created = {(cell.failure, result.created) for cell, result in results.items()}
    assert created == {(failure.name, int(failure.applied)) for failure in FAILURES}
    unknown = [result for result in results.values() if result.first.headers["gateway-outcome"] == "unknown"]
    assert {result.created for result in unknown} == {0, 1}


def _operation(mesh: Mesh, response: HttpResponse) -> Mapping[str, Any] | None:
    instance = response.body.get("instance")
    operation: Mapping[str, Any] | None = send(mesh.address(), "GET", instance).body if instance else None
    return operation
