from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.performance import budget, stage

pytestmark = pytest.mark.loopback

PYTHON, BUDGET = budget.read()


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[budget.Counts, budget.Counts]]:
    """Two counts of every request, one after the other, over sockets and a journal of its own."""
    import pytest_socket  # noqa: PLC0415 - a fixture of a module begins before the sockets of a test are opened

    pytest_socket.enable_socket()
    with stage.opened(tmp_path_factory.mktemp("budget")) as opened:
        budget.warm(opened)
        yield budget.counted(opened), budget.counted(opened)


def test_counting_is_exact(counts: tuple[budget.Counts, budget.Counts]) -> None:
    """The same request makes the same calls, to the last one: nothing here depends on the machine."""
    assert counts[0] == counts[1]


def test_every_request_has_a_budget() -> None:
    """What is counted has been recorded."""
    assert BUDGET.keys() == stage.SHOTS.keys()


@pytest.mark.skipif(budget.interpreter() != PYTHON, reason=f"the budget was recorded on Python {PYTHON}")
@pytest.mark.parametrize("name", stage.SHOTS)
def test_a_request_keeps_within_its_budget(name: str, counts: tuple[budget.Counts, budget.Counts]) -> None:
    """A create and a read make no more calls than was recorded; where they make fewer, that is the new budget."""
    verdict = budget.judge(name, counts[0][name], BUDGET[name])
    if verdict.startswith("under"):
        pytest.xfail(f"{verdict}; record the better budget: python -m tests.performance.record_budget")
    assert not verdict


@pytest.mark.parametrize(
    ("calls", "verdict"),
    [
        ({"flask": 600, "json": 400}, ""),
        ({"flask": 630, "json": 400}, ""),
        ({"flask": 631, "json": 400}, "over: x makes 1031 calls, its budget is 1000 (flask +31)"),
        ({"flask": 600, "json": 400, "copy": 90}, "over: x makes 1090 calls, its budget is 1000 (copy +90)"),
        ({"flask": 600, "json": 370}, ""),
        ({"flask": 600}, "under: x makes 600 calls, its budget is 1000 (json -400)"),
    ],
)
def test_three_in_a_hundred_are_let_pass(calls: dict[str, int], verdict: str) -> None:
    """More than that is a regression, less than that a better budget; either is told with what has changed where."""
    assert budget.judge("x", calls, {"flask": 600, "json": 400}) == verdict


def test_a_budget_is_kept_as_it_was_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written down is read back, with the interpreter that it holds for."""
    monkeypatch.setattr(budget, "FILE", tmp_path / "budget.json")
    budget.write({"x": {"flask": 1}})
    assert budget.read() == (budget.interpreter(), {"x": {"flask": 1}})
