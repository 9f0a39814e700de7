import pytest


@pytest.fixture(autouse=True)
def _no_access_key_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUAWEI_AK", raising=False)
    monkeypatch.delenv("HUAWEI_SK", raising=False)
