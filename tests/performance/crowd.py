"""Creates that are on the way at once, against a backend that takes its time: none refused, and how much memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tests.performance import bodies, proc, table
from tests.performance.figures import percentile
from tests.performance.latency import request
from tests.performance.openloop import Answer, Client, launch
from tests.performance.site import Starter

CREATES: Final = 1000
BACKEND_SECONDS: Final = 1.0
_WARM: Final = 20


def gather(folder: Path) -> Mapping[str, Any]:
    """Start a fresh gateway of one worker before a slow backend, and send everything in the same instant."""
    folder.mkdir()
    with ExitStack() as stack:
        starter = Starter(folder, stack)
        backend = starter.slow("slow", BACKEND_SECONDS)
        gateway = starter.gateway("crowded", backend.url)
        asyncio.run(_at_once(gateway.address, "w", _WARM))
        (worker,) = proc.family(gateway.pid).keys() - {gateway.pid}
        before = proc.memory_mib(worker)
        answers = asyncio.run(_at_once(gateway.address, "c", CREATES))
        return {
            "creates": CREATES,
            "backend_seconds": BACKEND_SECONDS,
            "statuses": dict(sorted(Counter(str(answer.status) for answer in answers).items())),
            "slowest_seconds": percentile([answer.seconds for answer in answers], 100),
            "median_seconds": percentile([answer.seconds for answer in answers], 50),
            "resident_before_mib": before,
            "resident_most_mib": proc.memory_mib(worker),
        }


async def _at_once(address: str, run: str, count: int) -> list[Answer]:
    client = Client(address)
    shot = table.create(bodies.CMDB_DRAFT)
    try:
        return await launch([0.0] * count, lambda number: client.exchange(request(address, shot, f"{run}{number}")))
    finally:
        await client.close()
