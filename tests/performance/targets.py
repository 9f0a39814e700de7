"""The targets of the contract, compared with the results of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.performance import table


class Verdict(NamedTuple):
    """One target, the measured value, and whether the target is met."""

    target: str
    measured: str
    met: bool


def evaluate(result: Mapping[str, Any]) -> list[Verdict]:
    """Evaluate every target; "a create" and "a read" are the more expensive of the two backends."""
    cpu = {row["name"]: float(row["cpu_us"]) for row in result["rows"]}
    create = max(cpu[name] for name in table.CREATES)
    read = max(cpu[name] for name in table.READS)
    cmdb, projectman = (
        cpu[ours] / cpu[client] for ours, client in zip(table.CREATES, table.VENDOR_CLIENTS, strict=True)
    )
    own_client = Verdict("… on ProjectMan, less than ProjectMan's client", f"{projectman:.2f} of it", projectman < 1)
    old_journal = cpu[table.OLD_CREATE] / cpu[table.CREATES[0]]
    return [
        _at_most("a journaled create costs ≤ 0.36 of FastAPI's", create / cpu[table.FASTAPI], 0.36, " of it"),
        _at_most("… and ≤ 0.60 of the naive one", create / cpu[table.NAIVE], 0.60, " of it"),
        own_client,
        _at_most("… on CMDB, ≤ 1.15 of CMDB's client", cmdb, 1.15, " of it"),
        _at_most("… with an old journal, ≤ 1.1 × one with a new journal", old_journal, 1.1, "×"),
        _at_most("a read costs ≤ 0.36 of FastAPI's", read / cpu[table.FASTAPI_READ], 0.36, " of it"),
        *_latency_verdicts(result),
        *_concurrency_verdicts(result["in_flight"]),
    ]


def _latency_verdicts(result: Mapping[str, Any]) -> list[Verdict]:
    latency = result["latency"]
    create = latency["create"]
    minimum = latency["floor"]["added_p50_ms"] + latency["disk"]["p50_ms"]
    p50 = _at_most("added p50 of a create at 100 requests/s ≤ 2 ms", create["added_p50_ms"], 2.0, " ms")
    return [
        p50._replace(measured=f"{p50.measured}; the floor's view and two durable writes alone {minimum:.2f} ms"),
        _at_most("added p99 ≤ 10 ms", create["added_p99_ms"], 10.0, " ms"),
        _at_most("start to ready ≤ 1 s", result["start"]["seconds"], 1.0, " s"),
    ]


def _concurrency_verdicts(in_flight: Mapping[str, Any]) -> list[Verdict]:
    creates, statuses = in_flight["creates"], in_flight["statuses"]
    measured = ", ".join(f"{count} × {status}" for status, count in statuses.items())
    return [
        Verdict(f"{creates:,} creates in flight on one worker, none refused", measured, statuses == {"201": creates}),
        _at_most("… within 150 MiB resident", in_flight["resident_max_mib"], 150.0, " MiB"),
    ]


def _at_most(target: str, measured: float, limit: float, unit: str) -> Verdict:
    return Verdict(target, f"{measured:.2f}{unit}" if measured < 100 else f"{measured:,.0f}{unit}", measured <= limit)
