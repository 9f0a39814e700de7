from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.performance import budget, in_process

pytestmark = pytest.mark.loopback

PYTHON, BUDGET = budget.load()


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[budget.Counts, budget.Counts]]:
    """Two consecutive counts of every request, with sockets and a journal."""
    import pytest_socket  # noqa: PLC0415 - a module fixture starts before the sockets of a test are enabled

    pytest_socket.enable_socket()
    with in_process.run_gateway(tmp_path_factory.mktemp("budget")) as gateway:
        budget.warm_up(gateway)
        yield budget.count_requests(gateway), budget.count_requests(gateway)


def test_counts_are_reproducible(counts: tuple[budget.Counts, budget.Counts]) -> None:
    """The same request makes exactly the same calls."""
    assert counts[0] == counts[1]


def test_every_request_has_a_budget() -> None:
    """The recorded budget names every counted request."""
    assert BUDGET.keys() == in_process.REQUESTS.keys()


@pytest.mark.skipif(budget.interpreter() != PYTHON, reason=f"the budget was recorded on Python {PYTHON}")
@pytest.mark.parametrize("name", in_process.REQUESTS)
def test_request_is_within_its_budget(name: str, counts: tuple[budget.Counts, budget.Counts]) -> None:
    """No request makes more calls than recorded; fewer calls are the new budget."""
    message = budget.compare(name, counts[0][name], BUDGET[name])
    if message.startswith("under"):
        pytest.xfail(f"{message}; record the lower budget: python -m tests.performance.record_budget")
    assert not message


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ({"flask": 600, "json": 400}, ""),
        ({"flask": 630, "json": 400}, ""),
        ({"flask": 631, "json": 400}, "over: x makes 1031 calls, its budget is 1000 (flask +31)"),
        ({"flask": 600, "json": 400, "copy": 90}, "over: x makes 1090 calls, its budget is 1000 (copy +90)"),
        ({"flask": 600, "json": 370}, ""),
        ({"flask": 600}, "under: x makes 600 calls, its budget is 1000 (json -400)"),
    ],
)
def test_tolerance_is_three_percent(calls: dict[str, int], message: str) -> None:
    """More is a regression, less a lower budget; the message names the packages that changed."""
    assert budget.compare("x", calls, {"flask": 600, "json": 400}) == message


def test_save_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved budget is loaded unchanged, with its Python version."""
    monkeypatch.setattr(budget, "FILE", tmp_path / "budget.json")
    budget.save({"x": {"flask": 1}})
    assert budget.load() == (budget.interpreter(), {"x": {"flask": 1}})
