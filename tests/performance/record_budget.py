"""Records the number of calls of a create and a read: `python -m tests.performance.record_budget`."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.performance import budget, in_process


def main() -> int:
    """Count twice, record, and print the changes; return 1 and record nothing if the two counts differ."""
    with TemporaryDirectory(prefix="bench-") as folder, in_process.run_gateway(Path(folder)) as gateway:
        budget.warm_up(gateway)
        counts, second = budget.count_requests(gateway), budget.count_requests(gateway)
    if counts != second:
        sys.stderr.write(f"two counts differ: {counts}, {second}\n")
        return 1
    previous = budget.load()[1] if budget.FILE.exists() else {}
    for name, packages in counts.items():
        before = sum(previous.get(name, {}).values())
        sys.stdout.write(f"{name:24}{before:>8} → {sum(packages.values())}\n")
    budget.save(counts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
