"""Formats the results as Markdown tables, for a terminal and for deploy/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.performance.rows import evaluate

_BLOCK: Final = re.compile(r"(<!-- bench -->\n).*?(<!-- /?bench -->)", re.DOTALL)
_LATENCIES: Final = [f"{path} p{percent}" for percent in (50, 99) for path in ("direct", "through", "added")]


def replace_block(page: str, result: Mapping[str, Any]) -> str:
    """Replace the tables between the two markers; raise ValueError unless there is one pair of markers."""
    replaced, count = _BLOCK.subn(lambda match: f"{match[1]}{markdown(result)}{match[2]}", page)
    if count != 1:
        raise ValueError("the page needs one pair of <!-- bench --> and <!-- /bench -->, each on a line of its own")
    return replaced


def markdown(result: Mapping[str, Any]) -> str:
    """Return the machine and all tables."""
    machine, latency, in_flight, rows = (result[key] for key in ("machine", "latency", "in_flight", "rows"))
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    about = f"{machine['cores']} cores of {machine['processor']}, {machine['kernel']}, {machine['file_system']}"
    disk = {f"added p{percent}": latency["disk"][f"p{percent}_ms"] for percent in (50, 99)}
    tables = {
        "What the rows do and leave out": (
            ["row", "does", "leaves out"],
            *([row["name"], row["does"], row["leaves_out"]] for row in rows),
        ),
        "Cost of a request (CPU of the serving processes, user and system; one worker)": (
            ["row", "µs per request", "× floor", "requests/s"],
            *(
                [row["name"], f"{row['cpu_us']:,.0f}", f"{row['times_floor']:.2f}", f"{row['per_second']:,.0f}"]
                for row in rows
            ),
        ),
        "Latency in ms at 100 requests/s, open loop, queueing included": (
            ["CMDB", *_LATENCIES],
            *(
                [name, *(f"{latency[key][column.replace(' ', '_') + '_ms']:.2f}" for column in _LATENCIES)]
                for name, key in (("create", "create"), ("read", "read"), ("the floor's view", "floor"))
            ),
            ["two durable writes", *(f"{disk[column]:.2f}" if column in disk else "" for column in _LATENCIES)],
        ),
        "Concurrent creates against a backend that takes 1 s": (
            ["creates", "responses", "median s", "slowest s", "resident MiB"],
            [
                str(in_flight["creates"]),
                ", ".join(f"{count} × {status}" for status, count in in_flight["statuses"].items()),
                *(f"{in_flight[name]:.2f}" for name in ("median_seconds", "slowest_seconds")),
                f"{in_flight['resident_before_mib']:.0f} → {in_flight['resident_max_mib']:.0f}",
            ],
        ),
        "Cost by the number of modules in the scope": (
            ["backend", "modules in the scope", "request", "modules in it", "upstream requests", "µs per request"],
            *(
                [
                    line["backend"],
                    f"{line['scope']:,}",
                    line["request"],
                    *(f"{line[name]:,}" for name in ("modules", "upstream")),
                    "" if line["cpu_us"] is None else f"{line['cpu_us']:,.0f}",
                ]
                for line in result["growth"]
            ),
        ),
        "Targets": (
            ["target", "measured", ""],
            *([target, measured, "met" if met else "missed"] for target, measured, met in evaluate(result)),
        ),
    }
    first = f"{about}, load {machine['load_average']:.1f} before; {versions}."
    sections = (f"{title}:\n\n{table(lines)}" for title, lines in tables.items())
    return "\n\n".join([f"{first} Compare the ratios, not the absolute values.", *sections]) + "\n"


def table(lines: Sequence[Sequence[str]]) -> str:
    """Return a table of aligned columns, text left, numbers right; the first line is its header."""
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [[_align(cell, width) for cell, width in zip(line, widths, strict=True)] for line in cells]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _align(cell: str, width: int) -> str:
    return cell.rjust(width) if re.match(r"-?[0-9]", cell) else cell.ljust(width)
