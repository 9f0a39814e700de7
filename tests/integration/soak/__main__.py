"""Runs a soak and prints trends and violations: `python -m tests.integration.soak --minutes 20`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.integration.soak.resources import TOLERANCE
from tests.integration.soak.soak import soak

parser = argparse.ArgumentParser(prog="python -m tests.integration.soak", description=__doc__)
parser.add_argument("--minutes", type=float, default=20.0)
parser.add_argument("--rate", type=float, help="requests per second; default: half of the measured maximum")
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()
with tempfile.TemporaryDirectory(prefix="soak-") as folder:
    outcome = soak(Path(folder), seconds=options.minutes * 60, rate=options.rate, seed=options.seed)
traffic, (before, after) = outcome.traffic, outcome.journal_mib
lines = ["  worker resource       2nd quarter 4th quarter    per hour   tolerance  flat"]
lines += [
    f"{worker:>8} {name:14}{trend.second:>11.1f} {trend.last:>11.1f} {trend.slope:>+11.1f} {TOLERANCE[name]:>11g}"
    f"  {'yes' if trend.flat else 'NO'}"
    for (worker, name), trend in outcome.trends.items()
]
lines.append(f"journal: {before:.1f} MiB at the start, {after:.1f} MiB at the end")
lines.append(f"{traffic.responses.total()} requests, at most {traffic.rate:.0f} per second:")
lines += [f"  {count:7} {key}" for key, count in sorted(traffic.responses.items())]
lines.append(f"{traffic.faults.total()} faults injected, of {len(traffic.faults)} kinds")
lines += [f"VIOLATION {promise}: {violation}" for promise, violation in outcome.violations.items()]
lines.append("FAILED" if outcome.violations else "passed")
sys.stdout.write("\n".join(lines) + "\n")
sys.exit(1 if outcome.violations else 0)
