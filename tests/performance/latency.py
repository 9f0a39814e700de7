"""Measures the latency that the gateway adds: the same open load through it and directly to the backend, in turns.

For comparison it also measures a static view and the disk, whose times no gateway on this machine can avoid.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.performance import bodies, disk, table
from tests.performance.open_loop import Client, encode_request, run_schedule, schedule
from tests.performance.samples import percentile
from tests.performance.servers_fixture import BenchServers
from tests.performance.wrk import RequestSpec

RATE: Final = 100.0  # requests per second
_WARM_UP: Final = 50
_PERCENTS: Final = (50, 99)
_JSON: Final = {"Content-Type": "application/json"}


def measure(servers: BenchServers, *, rounds: int, seconds: int, progress: Callable[[str], None]) -> Mapping[str, Any]:
    """Return p50 and p99 in milliseconds of each path and their difference, medians over the rounds."""
    backend, gateway = servers.backend.address, servers.gateway.address
    search = '{"bk_biz_id": 1, "condition": {"bk_module_id": 1}, "page": {"start": 0, "limit": 1}}'
    direct = (backend, RequestSpec(path=bodies.CMDB_CREATE, method="POST", body=bodies.CMDB_DIRECT, headers=_JSON))
    pairs = {
        "create": (direct, (gateway, table.create(bodies.CMDB_DRAFT))),
        "read": (
            (backend, RequestSpec(path=bodies.CMDB_SEARCH, method="POST", body=search, headers=_JSON)),
            (gateway, table.get(table.CMDB_MODULE)),
        ),
        "floor": (direct, (servers.floor.address, RequestSpec(path="/"))),
    }
    result: dict[str, Any] = {}
    for name, paths in pairs.items():
        percentiles = []
        for number in range(rounds):
            progress(f"latency of a {name}, round {number + 1} of {rounds}")
            percentiles.append(
                [_percentiles(asyncio.run(_load(*path, f"{name[0]}{number}l", seconds))) for path in paths]
            )
        result[name] = _medians(percentiles)
    progress("latency of the disk")
    writes = disk.write_latencies(servers.folder, count=int(RATE * seconds), interval=1 / RATE)
    result["disk"] = {f"p{percent}_ms": percentile(writes, percent) for percent in _PERCENTS}
    return {"rate": RATE, "seconds": seconds, "rounds": rounds, **result}


async def _load(address: str, spec: RequestSpec, run: str, seconds: int) -> list[float]:
    """Return the latencies of one run in milliseconds, without the first requests, which open connections."""
    client = Client(address)
    count = _WARM_UP + int(RATE * seconds)

    def send(number: int) -> Any:
        return client.exchange(encode_spec(address, spec, f"{run}{number}"))

    try:
        responses = await run_schedule(schedule(count, RATE), send)
    finally:
        await client.close()
    if errors := [response.status for response in responses if response.status >= 300]:
        raise RuntimeError(f"{len(errors)} of {count} requests were refused, the first with {errors[0]}")
    return [response.seconds * 1e3 for response in responses[_WARM_UP:]]


def encode_spec(address: str, spec: RequestSpec, number: str) -> bytes:
    """Return a spec as an HTTP request with each @ replaced, as load.lua does."""
    headers = {name: value.replace(bodies.UNIQUE, number) for name, value in spec.headers.items()}
    return encode_request(address, spec.method, spec.path, spec.body.replace(bodies.UNIQUE, number), headers)


def _percentiles(values: list[float]) -> list[float]:
    return [percentile(values, percent) for percent in _PERCENTS]


def _medians(rounds: list[list[list[float]]]) -> Mapping[str, float]:
    """Return the medians over the rounds of each path and of the difference within a round."""
    medians: dict[str, float] = {}
    for index, percent in enumerate(_PERCENTS):
        direct, through = ([paths[path][index] for paths in rounds] for path in (0, 1))
        medians[f"direct_p{percent}_ms"] = statistics.median(direct)
        medians[f"through_p{percent}_ms"] = statistics.median(through)
        medians[f"added_p{percent}_ms"] = statistics.median(b - a for a, b in zip(direct, through, strict=True))
    return medians
