"""Formats the results: text tables for a terminal, Markdown for deploy/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.performance.targets import Verdict, evaluate

_LABELS: Final = {"floor": "the floor's view"}
_BLOCK: Final = re.compile(r"(<!-- bench -->\n).*?(<!-- /?bench -->)", re.DOTALL)


def text(result: Mapping[str, Any]) -> str:
    """Return all tables for a terminal."""
    parts = [machine_line(result["machine"])]
    for title, lines in sections(result).items():
        parts.append(f"{title}\n{columns(lines)}")
    descriptions = [[row["name"], row["does"], row["leaves_out"]] for row in result["rows"]]
    parts.append(f"What the rows do and leave out\n{columns([['row', 'does', 'leaves out'], *descriptions])}")
    return "\n\n".join(parts) + "\n"


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables of deploy/benchmarks.md."""
    parts = [machine_line(result["machine"]) + ". Compare the ratios, not the absolute values."]
    for title, lines in sections(result).items():
        head, *body = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        rows = [head, ["---"] * len(head), *body]
        parts.append(f"{title}:\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n"


def replace_block(page: str, result: Mapping[str, Any]) -> str:
    """Replace the tables between the two markers; raise ValueError unless there is one pair of markers."""
    replaced, count = _BLOCK.subn(lambda match: f"{match[1]}{markdown(result)}{match[2]}", page)
    if count != 1:
        raise ValueError("the page needs one pair of <!-- bench --> and <!-- /bench -->, each on a line of its own")
    return replaced


def sections(result: Mapping[str, Any]) -> Mapping[str, Sequence[Sequence[str]]]:
    """Return the tables by title; the first line of each is its header."""
    return {
        "Cost of a request (CPU of the serving processes, user and system; one worker)": _cost_table(result["rows"]),
        "Latency in ms at 100 requests/s, open loop, queueing included": _latency_table(result["latency"]),
        "Concurrent creates against a backend that takes 1 s": _concurrency_table(result["in_flight"]),
        "Cost by the number of modules in the scope": _growth_table(result["growth"]),
        "Targets": _target_table(evaluate(result)),
    }


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return a line that describes the machine and the versions."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['kernel']}, {machine['file_system']},"
        f" load {machine['load_average']:.1f} before; {versions}"
    )


def columns(lines: Iterable[Sequence[str]]) -> str:
    """Align a table: text left, numbers right."""
    table = [list(line) for line in lines]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if re.match(r"-?[0-9]", cell) else cell.ljust(width)
            for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in table
    )


def _cost_table(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    lines = [["row", "µs per request", "× floor", "requests/s"]]
    lines += [
        [row["name"], f"{row['cpu_us']:,.0f}", f"{row['times_floor']:.2f}", f"{row['per_second']:,.0f}"] for row in rows
    ]
    return lines


def _latency_table(latency: Mapping[str, Any]) -> list[list[str]]:
    lines = [["CMDB", "direct p50", "through p50", "added p50", "direct p99", "through p99", "added p99"]]
    for name in ("create", "read", "floor"):
        keys = [f"{path}_p{percent}_ms" for percent in (50, 99) for path in ("direct", "through", "added")]
        lines.append([_LABELS.get(name, name), *(f"{latency[name][key]:.2f}" for key in keys)])
    disk = latency["disk"]
    lines.append(["two durable writes", "", "", f"{disk['p50_ms']:.2f}", "", "", f"{disk['p99_ms']:.2f}"])
    return lines


def _concurrency_table(in_flight: Mapping[str, Any]) -> list[list[str]]:
    statuses = ", ".join(f"{count} × {status}" for status, count in in_flight["statuses"].items())
    seconds = [f"{in_flight[name]:.2f}" for name in ("median_seconds", "slowest_seconds")]
    memory = f"{in_flight['resident_before_mib']:.0f} → {in_flight['resident_max_mib']:.0f}"
    return [
        ["creates", "responses", "median s", "slowest s", "resident MiB"],
        [str(in_flight["creates"]), statuses, *seconds, memory],
    ]


def _growth_table(growth: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    head = ["backend", "modules in the scope", "request", "modules in the response", "upstream requests"]
    lines = [[*head, "µs per request"]]
    for line in growth:
        cost = "" if line["cpu_us"] is None else f"{line['cpu_us']:,.0f}"
        counts = [f"{line[name]:,}" for name in ("modules", "upstream")]
        lines.append([line["backend"], f"{line['scope']:,}", line["request"], *counts, cost])
    return lines


def _target_table(verdicts: Iterable[Verdict]) -> list[list[str]]:
    words = {True: "met", False: "missed"}
    return [
        ["target", "measured", ""],
        *([verdict.target, verdict.measured, words[verdict.met]] for verdict in verdicts),
    ]
