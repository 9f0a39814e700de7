"""Records the number of calls of a create and a read: `python -m tests.performance.record_budget`."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.performance import budget, in_process

with TemporaryDirectory(prefix="bench-") as folder, in_process.run_gateway(Path(folder)) as gateway:
    counts, second = budget.count_requests(gateway)
if counts != second:
    sys.exit(f"two counts differ, nothing is recorded: {counts}, {second}")
_, previous = budget.load()
for name, packages in counts.items():
    sys.stdout.write(f"{name:24}{sum(previous.get(name, {}).values()):>8} → {sum(packages.values())}\n")
budget.save(counts)
