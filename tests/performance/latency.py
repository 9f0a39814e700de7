"""Measures the latency that the gateway adds: the same open load through it and directly to the backend, in turns.

For comparison it also measures a static view and the disk, whose times no gateway on this machine can avoid. And it
measures many creates at the same moment against a slow backend.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple

from tests.performance.messages import CREATE_CMDB, DIRECT_CREATE, DIRECT_READ, READ_CMDB, UNIQUE, Request, unique
from tests.performance.rounds import cpu_seconds, peak_memory_mib, percentile
from tests.performance.servers import Server, Servers, run_asyncio_backend, run_gateway

#: The event loop wakes up to a millisecond late; the last interval before a scheduled time is spent polling.
_POLL_SECONDS: Final = 0.0015
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class TimedResponse(NamedTuple):
    """A response and the seconds since its scheduled time."""

    status: int
    seconds: float
    body: bytes


def schedule(count: int, rate: float) -> list[float]:
    """Return the time of each request, in seconds from the start."""
    return [number / rate for number in range(count)]


async def run_schedule(
    times: Sequence[float],
    send: Callable[[int], Coroutine[None, None, tuple[int, bytes]]],
    now: Callable[[], float] = perf_counter,
) -> list[TimedResponse]:
    """Start every request at its time without waiting for others; return the responses in order."""
    start = now()

    async def send_one(number: int, scheduled: float) -> TimedResponse:
        status, body = await send(number)
        return TimedResponse(status, now() - scheduled, body)

    tasks = []
    for number, offset in enumerate(times):
        scheduled = start + offset
        await asyncio.sleep(max(scheduled - _POLL_SECONDS - now(), 0.0))
        while now() < scheduled:  # noqa: ASYNC110 - the clock is all there is to wait for
            await asyncio.sleep(0)
        tasks.append(asyncio.ensure_future(send_one(number, scheduled)))
    return await asyncio.gather(*tasks)


@dataclass
class Client:
    """Keep-alive connections to one server; opens a new one if none is idle."""

    address: str
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send an encoded request and return status and body."""
        host, _, port = self.address.rpartition(":")
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(host, int(port))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        self._idle.append((reader, writer))
        return int(head[9:12]), body

    def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


_log: Final = logging.getLogger(__name__)
RATE: Final = 100.0  # requests per second
CREATES: Final = 1000  # at the same moment
_BACKEND_SECONDS: Final = 1.0
_WARM_UP: Final = 50
_PERCENTS: Final = (50, 99)
#: Five pages with their headers, about what a claim or a settlement changes in the journal.
_WRITE: Final = b"\1" * (5 * 4120)
_WRITES_PER_CREATE: Final = 2
_SLOTS: Final = 100  # writes before the file is overwritten from its start, as in SQLite's log


def measure(servers: Servers, *, rounds: int, seconds: int) -> Mapping[str, Any]:
    """Return p50 and p99 in milliseconds of each path and their difference, medians over the rounds."""
    direct = (servers.backend, DIRECT_CREATE)
    pairs = {
        "create": (direct, (servers.gateway, CREATE_CMDB)),
        "read": ((servers.backend, DIRECT_READ), (servers.gateway, READ_CMDB)),
        "floor": (direct, (servers.floor, Request("GET", "/", headers={}))),
    }
    times, result = schedule(_WARM_UP + int(RATE * seconds), RATE), {}
    for name, paths in pairs.items():
        values: dict[str, list[float]] = {}
        for number in range(rounds):
            _log.info("latency of a %s, round %d of %d", name, number + 1, rounds)
            latencies = [_latencies(server, request, f"{name[0]}{number}l", times) for server, request in paths]
            for percent in _PERCENTS:
                without, through = (percentile(path, percent) for path in latencies)
                for key, value in (("direct", without), ("through", through), ("added", through - without)):
                    values.setdefault(f"{key}_p{percent}_ms", []).append(value)
        result[name] = {key: statistics.median(each) for key, each in values.items()}
    _log.info("latency of the disk")
    writes = write_latencies(servers.folder / "disk", count=int(RATE * seconds), interval=1 / RATE)
    result["disk"] = {f"p{percent}_ms": percentile(writes, percent) for percent in _PERCENTS}
    return {"rate": RATE, "seconds": seconds, "rounds": rounds, **result}


def _latencies(server: Server, request: Request, run: str, times: Sequence[float]) -> list[float]:
    """Return the latencies of one run in milliseconds, without the first requests, which open connections."""
    responses = asyncio.run(_send(server, request, run, times))
    if errors := [response.status for response in responses if response.status >= 300]:
        raise RuntimeError(f"{len(errors)} of {len(times)} requests were refused, the first with {errors[0]}")
    return [response.seconds * 1e3 for response in responses[_WARM_UP:]]


async def _send(server: Server, request: Request, run: str, times: Sequence[float]) -> list[TimedResponse]:
    client, text = Client(server.address), request.text
    try:
        return await run_schedule(times, lambda n: client.exchange(text.replace(UNIQUE, unique(run, n)).encode()))
    finally:
        client.close()


def write_latencies(path: Path, *, count: int, interval: float) -> list[float]:
    """Overwrite a file twice in a row, `count` times, each write durably; return the milliseconds of each pair.

    It is the minimum of every journal that writes twice per create.
    """
    path.write_bytes(_WRITE * _SLOTS)
    latencies = []
    with path.open("r+b", buffering=0) as file:
        os.fsync(file.fileno())
        for number in range(count):
            time.sleep(interval)  # a create finds the disk idle
            started = time.perf_counter()
            for part in range(_WRITES_PER_CREATE):
                os.pwrite(file.fileno(), _WRITE, (number * _WRITES_PER_CREATE + part) % _SLOTS * len(_WRITE))
                os.fdatasync(file.fileno())
            latencies.append((time.perf_counter() - started) * 1e3)
    path.unlink()
    return latencies


def measure_in_flight(folder: Path) -> Mapping[str, Any]:
    """Start a new gateway with one worker and a slow backend, and send all creates at the same moment."""
    _log.info("%d creates at the same moment", CREATES)
    with (
        run_asyncio_backend(folder / "slow", _BACKEND_SECONDS) as backend,
        run_gateway(folder / "concurrent", backend.url) as gateway,
    ):
        asyncio.run(_send(gateway, CREATE_CMDB, "w", [0.0] * 20))
        (worker,) = cpu_seconds(gateway.pid).keys() - {gateway.pid}
        before = peak_memory_mib(worker)
        responses = asyncio.run(_send(gateway, CREATE_CMDB, "c", [0.0] * CREATES))
        seconds = [response.seconds for response in responses]
        return {
            "creates": CREATES,
            "backend_seconds": _BACKEND_SECONDS,
            "statuses": dict(sorted(Counter(str(response.status) for response in responses).items())),
            "slowest_seconds": max(seconds),
            "median_seconds": percentile(seconds, 50),
            "resident_before_mib": before,
            "resident_max_mib": peak_memory_mib(worker),
        }
