"""Both twins, served over loopback."""

from collections.abc import Iterator

import pytest

from tests.unit.twins.faults.twin_client import TWINS, TwinClient, cmdb_twin, projectman_twin


@pytest.fixture(autouse=True)
def _no_access_key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUAWEI_AK", raising=False)
    monkeypatch.delenv("HUAWEI_SK", raising=False)


@pytest.fixture(name="twin", params=sorted(TWINS))
def _twin(request: pytest.FixtureRequest) -> Iterator[TwinClient]:
    """Each twin in turn."""
    with TWINS[request.param]() as twin:
        yield twin


@pytest.fixture(name="cmdb")
def _cmdb() -> Iterator[TwinClient]:
    with cmdb_twin() as twin:
        yield twin


@pytest.fixture(name="projectman")
def _projectman() -> Iterator[TwinClient]:
    with projectman_twin() as twin:
        yield twin
