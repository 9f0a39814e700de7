import copy
from typing import Any

import pytest

from tests.performance import report, rows

CPU = {
    **dict.fromkeys((rows.FLOOR, *rows.CREATES, rows.OLD_CREATE, *rows.READS), 900.0),
    rows.NAIVE: 1500.0,
    rows.FASTAPI: 2500.0,
    rows.FASTAPI_READ: 2500.0,
    **dict.fromkeys(rows.VENDOR_CLIENTS, 1000.0),
}
LATENCY = {f"{path}_p{percent}_ms": 1.0 for path in ("direct", "through", "added") for percent in (50, 99)}
RESULT: dict[str, Any] = {
    "machine": {
        "processor": "X",
        "cores": 2,
        "kernel": "Linux 6",
        "file_system": "ext4",
        "load_average": 0.5,
        "versions": {"python": "3.11"},
    },
    "rows": [
        {"name": name, "does": "a|b", "leaves_out": "nothing", "cpu_us": cpu, "times_floor": 2.0, "per_second": 500.0}
        for name, cpu in CPU.items()
    ],
    "latency": {"create": LATENCY, "read": LATENCY, "floor": LATENCY, "disk": {"p50_ms": 0.7, "p99_ms": 3.14}},
    "in_flight": {
        "creates": 1000,
        "statuses": {"201": 1000},
        "median_seconds": 2.0,
        "slowest_seconds": 3.0,
        "resident_before_mib": 60.0,
        "resident_max_mib": 120.0,
    },
    "growth": [{"backend": "cmdb", "scope": 10, "request": "all", "modules": 10, "upstream": 1, "cpu_us": None}],
    "start": {"seconds": 0.9},
}


def with_value(path: str, value: object) -> dict[str, Any]:
    """Return the result with one value changed; a row is found by its name."""
    changed = copy.deepcopy(RESULT)
    *steps, last = path.split("/")
    node: Any = changed
    for step in steps:
        node = next(row for row in node if row["name"] == step) if isinstance(node, list) else node[step]
    node[last] = value
    return changed


def missed(result: dict[str, Any]) -> list[int]:
    return [number for number, verdict in enumerate(rows.evaluate(result)) if not verdict.met]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (f"rows/{rows.FASTAPI}/cpu_us", 2500.0, []),
        (f"rows/{rows.FASTAPI}/cpu_us", 2499.0, [0]),
        (f"rows/{rows.NAIVE}/cpu_us", 1499.0, [1]),
        (f"rows/{rows.VENDOR_CLIENTS[1]}/cpu_us", 901.0, []),
        (f"rows/{rows.VENDOR_CLIENTS[1]}/cpu_us", 900.0, [2]),
        (f"rows/{rows.VENDOR_CLIENTS[0]}/cpu_us", 783.0, []),
        (f"rows/{rows.VENDOR_CLIENTS[0]}/cpu_us", 782.0, [3]),
        (f"rows/{rows.OLD_CREATE}/cpu_us", 990.0, []),
        (f"rows/{rows.OLD_CREATE}/cpu_us", 991.0, [4]),
        (f"rows/{rows.FASTAPI_READ}/cpu_us", 2499.0, [5]),
        ("latency/create/added_p50_ms", 2.01, [6]),
        ("latency/create/added_p99_ms", 10.1, [7]),
        ("start/seconds", 1.01, [8]),
        ("in_flight/statuses", {"201": 999, "503": 1}, [9]),
        ("in_flight/statuses", {"201": 999}, [9]),
        ("in_flight/resident_max_mib", 150.1, [10]),
    ],
)
def test_limit_of_each_target(path: str, value: object, expected: list[int]) -> None:
    """The contract's limits; each create is compared with the client of its own backend."""
    assert missed(with_value(path, value)) == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [(rows.CREATES[0], [0, 1]), (rows.CREATES[1], [0, 1]), (rows.READS[0], [5]), (rows.READS[1], [5])],
)
def test_more_expensive_backend_decides(row: str, expected: list[int]) -> None:
    """One backend within the limit does not compensate for the other."""
    assert missed(with_value(f"rows/{row}/cpu_us", 901.0)) == expected


def test_columns_are_aligned() -> None:
    """Text is aligned left, numbers right; a bar in a text does not end its cell."""
    lines = ["| row  | µs    |", "| ---- | ----- |", "| a    | 1,000 |", "| b\\|c |     7 |"]
    assert report.table([["row", "µs"], ["a", "1,000"], ["b|c", "7"]]) == "\n".join(lines)


def test_tables_have_all_results() -> None:
    """The tables have the machine, the rows with their descriptions, and every target with value and verdict."""
    text = report.markdown(with_value("start/seconds", 1.5))
    for part in ("Linux 6", *CPU, "a\\|b", "nothing", "60 → 120", "missed", "met", "1.50 s", "3.14", "alone 1.70 ms"):
        assert part in text


def test_page_is_replaced_between_its_markers() -> None:
    """The text around the markers stays; a second replacement changes nothing."""
    page = "before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"
    replaced = report.replace_block(page, RESULT)
    assert replaced.startswith("before\n<!-- bench -->\n")
    assert replaced.endswith("<!-- /bench -->\nafter\n")
    assert "old\n" not in replaced
    assert report.replace_block(replaced, RESULT) == replaced


def test_closing_marker_may_equal_the_opening_one() -> None:
    """Two equal markers are a pair."""
    assert report.replace_block("<!-- bench -->\n<!-- bench -->\n", RESULT).count("<!-- bench -->") == 2


@pytest.mark.parametrize("page", ["", "<!-- bench -->\n"])
def test_page_without_markers_raises(page: str) -> None:
    """A page without a pair of markers raises ValueError."""
    with pytest.raises(ValueError, match="needs one pair"):
        report.replace_block(page, RESULT)
