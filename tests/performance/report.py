"""The figures for people: tables of text for a terminal, of Markdown for deploy/benchmarks.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tests.performance.targets import Verdict, judge

_SAID: Final = {"floor": "the floor's view"}
_BLOCK: Final = re.compile(r"(<!-- bench -->\n).*?(<!-- /?bench -->)", re.DOTALL)


def text(result: Mapping[str, Any]) -> str:
    """Return everything, for a terminal."""
    parts = [machine(result["machine"])]
    for title, lines in sections(result).items():
        parts.append(f"{title}\n{columns(lines)}")
    doing = [[row["name"], row["does"], row["leaves_out"]] for row in result["rows"]]
    parts.append(f"What the rows do, and leave out\n{columns([['row', 'does', 'leaves out'], *doing])}")
    return "\n\n".join(parts) + "\n"


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables of deploy/benchmarks.md."""
    parts = [machine(result["machine"]) + ". Compare the ratios, not the figures."]
    for title, lines in sections(result).items():
        head, *body = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        rows = [head, ["---"] * len(head), *body]
        parts.append(f"{title}:\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n"


def into_readme(readme: str, result: Mapping[str, Any]) -> str:
    """Replace the block between the two marks; ValueError where there is none."""
    replaced, count = _BLOCK.subn(lambda found: f"{found[1]}{markdown(result)}{found[2]}", readme)
    if count != 1:
        raise ValueError("the page needs one pair of <!-- bench --> and <!-- /bench -->, each on a line of its own")
    return replaced


def sections(result: Mapping[str, Any]) -> Mapping[str, Sequence[Sequence[str]]]:
    """Return the tables, a line of titles first in each."""
    return {
        "Cost of a request (CPU of the serving processes, user and system; one worker)": _rows(result["rows"]),
        "Latency in ms, at 100 requests/s whether answered or not, queueing counted": _latency(result["latency"]),
        "Creates at once, before a backend that takes 1 s": _crowd(result["in_flight"]),
        "The same with more in the scope": _growth(result["growth"]),
        "Targets": _targets(judge(result)),
    }


def machine(told: Mapping[str, Any]) -> str:
    """Return a line on where the figures come from."""
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return (
        f"{told['cores']} cores of {told['processor']}, {told['kernel']}, {told['file_system']},"
        f" load {told['load_average']:.1f} before; {versions}"
    )


def columns(lines: Iterable[Sequence[str]]) -> str:
    """Align a table: words to the left, figures to the right."""
    table = [list(line) for line in lines]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if re.match(r"-?[0-9]", cell) else cell.ljust(width)
            for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in table
    )


def _rows(rows: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    lines = [["row", "µs a request", "× floor", "requests/s"]]
    lines += [
        [row["name"], f"{row['cpu_us']:,.0f}", f"{row['times_floor']:.2f}", f"{row['per_second']:,.0f}"] for row in rows
    ]
    return lines


def _latency(told: Mapping[str, Any]) -> list[list[str]]:
    lines = [["CMDB", "direct p50", "through p50", "added p50", "direct p99", "through p99", "added p99"]]
    for name in ("create", "read", "floor"):
        ways = [f"{way}_p{percent}_ms" for percent in (50, 99) for way in ("direct", "through", "added")]
        lines.append([_SAID.get(name, name), *(f"{told[name][way]:.2f}" for way in ways)])
    durable = told["disk"]
    lines.append(["two durable writes", "", "", f"{durable['p50_ms']:.2f}", "", "", f"{durable['p99_ms']:.2f}"])
    return lines


def _crowd(told: Mapping[str, Any]) -> list[list[str]]:
    statuses = ", ".join(f"{count} × {status}" for status, count in told["statuses"].items())
    memory = f"{told['resident_before_mib']:.0f} → {told['resident_most_mib']:.0f}"
    return [
        ["creates", "answers", "median s", "slowest s", "resident MiB"],
        [str(told["creates"]), statuses, f"{told['median_seconds']:.2f}", f"{told['slowest_seconds']:.2f}", memory],
    ]


def _growth(told: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    lines = [["backend", "modules in the scope", "asked for", "modules answered", "requests upstream", "µs a request"]]
    for line in told:
        cost = "" if line["cpu_us"] is None else f"{line['cpu_us']:,.0f}"
        counts = [f"{line[name]:,}" for name in ("modules", "upstream")]
        lines.append([line["backend"], f"{line['scope']:,}", line["asked"], *counts, cost])
    return lines


def _targets(verdicts: Iterable[Verdict]) -> list[list[str]]:
    met = {True: "met", False: "missed"}
    return [["target", "measured", ""], *([each.target, each.measured, met[each.met]] for each in verdicts)]
