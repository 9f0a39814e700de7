"""What the gateway adds to a caller's wait: the same open load through it and straight to the backend, in turns.

Beside it stands what it cannot be without on this machine: a static view's wait, and that for the disk.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.performance import bodies, disk, table
from tests.performance.figures import percentile
from tests.performance.openloop import Client, encode, launch, plan
from tests.performance.site import Site
from tests.performance.wrk import Shot

RATE: Final = 100.0  # requests a second
_WARM: Final = 50
_PERCENTS: Final = (50, 99)
_JSON: Final = {"Content-Type": "application/json"}


def added(site: Site, *, rounds: int, seconds: int, tell: Callable[[str], None]) -> Mapping[str, Any]:
    """Return p50 and p99 in milliseconds of each way, and their difference, medians over the rounds."""
    direct, through = site.backend.address, site.gateway.address
    search = '{"bk_biz_id": 1, "condition": {"bk_module_id": 1}, "page": {"start": 0, "limit": 1}}'
    straight = (direct, Shot(path=bodies.CMDB_CREATE, method="POST", body=bodies.CMDB_DIRECT, headers=_JSON))
    pairs = {
        "create": (straight, (through, table.create(bodies.CMDB_DRAFT))),
        "read": (
            (direct, Shot(path=bodies.CMDB_SEARCH, method="POST", body=search, headers=_JSON)),
            (through, table.get(table.CMDB_MODULE)),
        ),
        "floor": (straight, (site.floor.address, Shot(path="/"))),
    }
    found: dict[str, Any] = {}
    for name, ways in pairs.items():
        told = []
        for each in range(rounds):
            tell(f"latency of a {name}, round {each + 1} of {rounds}")
            told.append([_percentiles(asyncio.run(_load(*way, f"{name[0]}{each}l", seconds))) for way in ways])
        found[name] = _summary(told)
    tell("latency of the disk")
    alone = disk.waits(site.folder, count=int(RATE * seconds), every=1 / RATE)
    found["disk"] = {f"p{percent}_ms": percentile(alone, percent) for percent in _PERCENTS}
    return {"rate": RATE, "seconds": seconds, "rounds": rounds, **found}


async def _load(address: str, shot: Shot, run: str, seconds: int) -> list[float]:
    """Return the latencies of one run in milliseconds; the first requests open connections and do not count."""
    client = Client(address)
    count = _WARM + int(RATE * seconds)

    def send(number: int) -> Any:
        return client.exchange(request(address, shot, f"{run}{number}"))

    try:
        answers = await launch(plan(count, RATE), send)
    finally:
        await client.close()
    if failed := [answer.status for answer in answers if answer.status >= 300]:
        raise RuntimeError(f"{len(failed)} of {count} requests were refused, the first with {failed[0]}")
    return [answer.seconds * 1e3 for answer in answers[_WARM:]]


def request(address: str, shot: Shot, number: str) -> bytes:
    """Write a shot as a request, each @ replaced, as the load generator's script does."""
    headers = {name: value.replace(bodies.UNIQUE, number) for name, value in shot.headers.items()}
    return encode(address, shot.method, shot.path, shot.body.replace(bodies.UNIQUE, number), headers)


def _percentiles(values: list[float]) -> list[float]:
    return [percentile(values, percent) for percent in _PERCENTS]


def _summary(rounds: list[list[list[float]]]) -> Mapping[str, float]:
    """Take the medians of each way and of what one round's ways differ by."""
    told: dict[str, float] = {}
    for index, percent in enumerate(_PERCENTS):
        direct, through = ([ways[which][index] for ways in rounds] for which in (0, 1))
        told[f"direct_p{percent}_ms"] = statistics.median(direct)
        told[f"through_p{percent}_ms"] = statistics.median(through)
        told[f"added_p{percent}_ms"] = statistics.median(b - a for a, b in zip(direct, through, strict=True))
    return told
