import copy
from typing import Any

import pytest

from tests.performance import report, table, targets

NAMES = [table.FLOOR, *table.CREATES, *table.READS, table.FASTAPI, *table.VENDORS]
WAITS = {f"{way}_p{percent}_ms": 1.0 for way in ("direct", "through", "added") for percent in (50, 99)}
COST = {"cpu_us": 900.0, "times_floor": 2.0, "per_second": 500.0}
RESULT: dict[str, Any] = {
    "machine": {
        "processor": "X",
        "cores": 2,
        "kernel": "Linux 6",
        "file_system": "ext4",
        "load_average": 0.5,
        "versions": {"python": "3.11"},
    },
    "rows": [{"name": name, "does": "a|b", "leaves_out": "nothing", **COST} for name in NAMES],
    "latency": {"create": WAITS, "read": WAITS, "floor": WAITS, "disk": {"p50_ms": 0.7, "p99_ms": 3.14}},
    "in_flight": {
        "creates": 1000,
        "statuses": {"201": 1000},
        "median_seconds": 2.0,
        "slowest_seconds": 3.0,
        "resident_before_mib": 60.0,
        "resident_most_mib": 120.0,
    },
    "growth": [{"backend": "cmdb", "scope": 10, "asked": "all", "modules": 10, "upstream": 1, "cpu_us": None}],
    "start": {"seconds": 0.9},
}


def with_(path: str, value: object) -> dict[str, Any]:
    """Return the result with one figure changed; a row is found by its name."""
    changed = copy.deepcopy(RESULT)
    *way, last = path.split("/")
    place: Any = changed
    for step in way:
        place = next(row for row in place if row["name"] == step) if isinstance(place, list) else place[step]
    place[last] = value
    return changed


SLOW_FASTAPI = with_(f"rows/{table.FASTAPI}/cpu_us", 3000.0)


def missed(result: dict[str, Any]) -> list[int]:
    return [number for number, verdict in enumerate(targets.judge(result)) if not verdict.met]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (f"rows/{table.FASTAPI}/cpu_us", 2700.0, []),
        (f"rows/{table.FASTAPI}/cpu_us", 2699.0, [3]),
        (f"rows/{table.CREATES[1]}/cpu_us", 901.0, [2, 3]),
        (f"rows/{table.VENDORS[0]}/cpu_us", 899.0, [1, 3]),
        (f"rows/{table.READS[0]}/times_floor", 2.21, [3, 4]),
        ("latency/create/added_p50_ms", 2.01, [3, 5]),
        ("latency/create/added_p99_ms", 10.1, [3, 6]),
        ("start/seconds", 1.01, [3, 7]),
        ("in_flight/statuses", {"201": 999, "503": 1}, [3, 8]),
        ("in_flight/statuses", {"201": 999}, [3, 8]),
        ("in_flight/resident_most_mib", 150.1, [3, 9]),
    ],
)
def test_each_target_has_its_limit(path: str, value: object, expected: list[int]) -> None:
    """The contract's figures, one by one; of creates the dearer counts, and each against its own backend's client."""
    assert missed(with_(path, value)) == expected


@pytest.mark.parametrize(("row", "times", "target"), [(table.CREATES[1], 3.1, 0), (table.READS[1], 2.3, 4)])
def test_the_dearer_backend_is_held_against_the_floor(row: str, times: float, target: int) -> None:
    """One backend within the limit does not make up for the other."""
    dear = with_(f"rows/{row}/times_floor", times)
    next(each for each in dear["rows"] if each["name"] == row)["cpu_us"] = 901.0
    assert target in missed(dear)


def test_columns_are_aligned() -> None:
    """Words stand to the left, figures to the right."""
    assert report.columns([["row", "µs"], ["a", "1,000"], ["bcd", "7"]]) == "row  µs\na    1,000\nbcd      7"


def test_the_text_tells_everything() -> None:
    """Machine, rows with what they do and leave out, every target with its figure and verdict."""
    told = report.text(RESULT)
    for part in ("Linux 6", *NAMES, "a|b", "nothing", "60 → 120", "missed", "met", "0.90 s", "3.14", "alone 1.70 ms"):
        assert part in told


def test_the_readme_is_rewritten_between_its_marks() -> None:
    """What stands around stays, what stood between goes, and a second time changes nothing."""
    readme = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    once = report.into_readme(readme, RESULT)
    assert once.startswith("before\n<!-- bench -->\n")
    assert once.endswith("<!-- /bench -->\nafter\n")
    assert "old" not in once.split()
    assert report.into_readme(once, RESULT) == once


def test_the_closing_mark_may_be_spelt_like_the_opening_one() -> None:
    """Two equal marks are a pair, too."""
    assert report.into_readme("<!-- bench -->\n<!-- bench -->\n", RESULT).count("<!-- bench -->") == 2


@pytest.mark.parametrize("readme", ["", "<!-- bench -->\n"])
def test_a_readme_without_marks_is_left_alone(readme: str) -> None:
    """Where the figures belong is not guessed."""
    with pytest.raises(ValueError, match="needs one pair"):
        report.into_readme(readme, RESULT)
