"""`python -m tests.integration.soak --minutes 20`: prints what was held at the start and at the end, and what was not kept."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.integration.soak.soak import Outcome, Plan, soak
from tests.integration.soak.verdict import TOLERANCE


def main(arguments: list[str]) -> int:
    """Return 0 where nothing grew and every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, help="requests a second; otherwise half of what is measured")
    parser.add_argument("--callers", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    plan = Plan(seconds=given.minutes * 60, rate=given.rate, callers=given.callers, seed=given.seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        outcome = soak(plan, Path(folder))
    sys.stdout.write("\n".join(_lines(outcome)) + "\n")
    return 0 if outcome.sound else 1


def _lines(outcome: Outcome) -> list[str]:
    row = "{:>8} {:14}{:>12}{:>12}{:>12}{:>12}  {}"
    lines = [row.format("worker", "figure", "2nd quarter", "4th quarter", "an hour", "tolerance", "flat")]
    for worker, trends in outcome.trends.items():
        lines += [
            row.format(
                worker,
                trend.what,
                f"{trend.second:.1f}",
                f"{trend.last:.1f}",
                f"{trend.slope:+.1f}",
                f"{TOLERANCE[trend.what]:g}",
                "yes" if trend.flat else "NO",
            )
            for trend in trends
        ]
    lines.append(f"journal: {outcome.journal[0]:.1f} MiB at the start, {outcome.journal[1]:.1f} MiB at the end")
    lines.append(f"{outcome.answers.total()} requests, {outcome.rate:.0f} a second allowed:")
    lines += [f"  {count:7} {what}" for what, count in sorted(outcome.answers.items())]
    lines.append(f"{outcome.faults.total()} faults ordered of {len(outcome.faults)} kinds")
    lines += [f"BROKEN {name}: {how}" for name, how in outcome.broken.items()]
    lines.append("sound" if outcome.sound else "NOT SOUND")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
