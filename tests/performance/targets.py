"""The contract's targets, each judged by the figures of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.performance import table


class Verdict(NamedTuple):
    """One target: what is promised, what was measured, whether it is kept."""

    target: str
    measured: str
    met: bool


def judge(result: Mapping[str, Any]) -> list[Verdict]:
    """Judge every target; a create and a read are the dearer of the two, a client that of the same backend."""
    rows = {row["name"]: row for row in result["rows"]}
    create = max((rows[name] for name in table.CREATES), key=lambda row: float(row["cpu_us"]))
    pairs = zip(table.CREATES, table.VENDORS, strict=True)
    read = max((rows[name] for name in table.READS), key=lambda row: float(row["cpu_us"]))
    return [
        _most("a journaled create costs ≤ 3.0 × the floor", create["times_floor"], 3.0, "×"),
        *(
            _most(f"… {ours}, less than the {theirs}", rows[ours]["cpu_us"], rows[theirs]["cpu_us"], " µs")
            for ours, theirs in pairs
        ),
        _most("… and ≤ 1/3 of FastAPI's create", create["cpu_us"] / rows[table.FASTAPI]["cpu_us"], 1 / 3, " of it"),
        _most("a read costs ≤ 2.2 × the floor", read["times_floor"], 2.2, "×"),
        *_of_time(result),
        *_of_crowd(result["in_flight"]),
    ]


def _of_time(result: Mapping[str, Any]) -> list[Verdict]:
    waits = result["latency"]
    create = waits["create"]
    least = waits["floor"]["added_p50_ms"] + waits["disk"]["p50_ms"]
    added = _most("added p50 of a create at 100 requests/s ≤ 2 ms", create["added_p50_ms"], 2.0, " ms")
    return [
        added._replace(measured=f"{added.measured}; the floor's view and two durable writes alone {least:.2f} ms"),
        _most("added p99 ≤ 10 ms", create["added_p99_ms"], 10.0, " ms"),
        _most("start to ready ≤ 1 s", result["start"]["seconds"], 1.0, " s"),
    ]


def _of_crowd(crowd: Mapping[str, Any]) -> list[Verdict]:
    creates, statuses = crowd["creates"], crowd["statuses"]
    told = ", ".join(f"{count} × {status}" for status, count in statuses.items())
    return [
        Verdict(f"{creates:,} creates in flight on one worker, none refused", told, statuses == {"201": creates}),
        _most("… within 150 MiB resident", crowd["resident_most_mib"], 150.0, " MiB"),
    ]


def _most(target: str, measured: float, limit: float, unit: str) -> Verdict:
    return Verdict(target, f"{measured:.2f}{unit}" if measured < 100 else f"{measured:,.0f}{unit}", measured <= limit)
