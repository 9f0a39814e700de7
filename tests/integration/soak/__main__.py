"""Runs a soak and prints trends and violations: `python -m tests.integration.soak --minutes 20`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.integration.soak.soak import Outcome, Plan, soak
from tests.integration.soak.trends import TOLERANCE


def main(arguments: list[str]) -> int:
    """Run a soak; return 0 if no resource grew and every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, help="requests per second; default: half of the measured maximum")
    parser.add_argument("--callers", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    plan = Plan(seconds=options.minutes * 60, rate=options.rate, callers=options.callers, seed=options.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = soak(plan, Path(folder))
    sys.stdout.write("\n".join(_lines(outcome)) + "\n")
    return 0 if outcome.passed else 1


def _lines(outcome: Outcome) -> list[str]:
    row = "{:>8} {:14}{:>12}{:>12}{:>12}{:>12}  {}"
    lines = [row.format("worker", "resource", "2nd quarter", "4th quarter", "per hour", "tolerance", "flat")]
    for worker, trends in outcome.trends.items():
        lines += [
            row.format(
                worker,
                trend.resource,
                f"{trend.second:.1f}",
                f"{trend.last:.1f}",
                f"{trend.slope:+.1f}",
                f"{TOLERANCE[trend.resource]:g}",
                "yes" if trend.flat else "NO",
            )
            for trend in trends
        ]
    lines.append(f"journal: {outcome.journal[0]:.1f} MiB at the start, {outcome.journal[1]:.1f} MiB at the end")
    lines.append(f"{outcome.responses.total()} requests, at most {outcome.rate:.0f} per second:")
    lines += [f"  {count:7} {key}" for key, count in sorted(outcome.responses.items())]
    lines.append(f"{outcome.faults.total()} faults injected, of {len(outcome.faults)} kinds")
    lines += [f"VIOLATION {promise}: {violation}" for promise, violation in outcome.violations.items()]
    lines.append("passed" if outcome.passed else "FAILED")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
