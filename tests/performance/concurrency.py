"""Measures concurrent creates against a slow backend: statuses, response times and memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tests.performance import bodies, proc, table
from tests.performance.latency import encode_spec
from tests.performance.open_loop import Client, TimedResponse, run_schedule
from tests.performance.samples import percentile
from tests.performance.servers_fixture import ServerStarter

CREATES: Final = 1000
BACKEND_SECONDS: Final = 1.0
_WARM_UP: Final = 20


def measure(folder: Path) -> Mapping[str, Any]:
    """Start a new gateway with one worker and a slow backend, and send all creates at the same moment."""
    folder.mkdir()
    with ExitStack() as stack:
        starter = ServerStarter(folder, stack)
        backend = starter.slow_backend("slow", BACKEND_SECONDS)
        gateway = starter.gateway("concurrent", backend.url)
        asyncio.run(_send_all(gateway.address, "w", _WARM_UP))
        (worker,) = proc.process_tree(gateway.pid).keys() - {gateway.pid}
        before = proc.memory_mib(worker)
        responses = asyncio.run(_send_all(gateway.address, "c", CREATES))
        return {
            "creates": CREATES,
            "backend_seconds": BACKEND_SECONDS,
            "statuses": dict(sorted(Counter(str(response.status) for response in responses).items())),
            "slowest_seconds": percentile([response.seconds for response in responses], 100),
            "median_seconds": percentile([response.seconds for response in responses], 50),
            "resident_before_mib": before,
            "resident_max_mib": proc.memory_mib(worker),
        }


async def _send_all(address: str, run: str, count: int) -> list[TimedResponse]:
    client = Client(address)
    spec = table.create(bodies.CMDB_DRAFT)
    try:
        return await run_schedule(
            [0.0] * count, lambda number: client.exchange(encode_spec(address, spec, f"{run}{number}"))
        )
    finally:
        await client.close()
