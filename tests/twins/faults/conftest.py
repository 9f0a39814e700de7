"""Both twins, served over loopback."""

from collections.abc import Iterator

import pytest

from tests.twins.faults.stand import STANDS, Stand, cmdb_stand, projectman_stand


@pytest.fixture(autouse=True)
def _no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUAWEI_AK", raising=False)
    monkeypatch.delenv("HUAWEI_SK", raising=False)


@pytest.fixture(name="stand", params=sorted(STANDS))
def _stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """One twin after the other."""
    with STANDS[request.param]() as stand:
        yield stand


@pytest.fixture(name="cmdb")
def _cmdb() -> Iterator[Stand]:
    with cmdb_stand() as stand:
        yield stand


@pytest.fixture(name="projectman")
def _projectman() -> Iterator[Stand]:
    with projectman_stand() as stand:
        yield stand
