"""Records how many calls a create and a read make now: `python -m tests.performance.record_budget`."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.performance import budget, stage


def main() -> int:
    """Count twice, record, and print what has changed; 1 where the two counts differ, and nothing is recorded."""
    with TemporaryDirectory(prefix="bench-") as folder, stage.opened(Path(folder)) as opened:
        budget.warm(opened)
        counts, again = budget.counted(opened), budget.counted(opened)
    if counts != again:
        sys.stderr.write(f"two counts differ: {counts}, {again}\n")
        return 1
    old = budget.read()[1] if budget.FILE.exists() else {}
    for name, found in counts.items():
        before = sum(old.get(name, {}).values())
        sys.stdout.write(f"{name:24}{before:>8} → {sum(found.values())}\n")
    budget.write(counts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
