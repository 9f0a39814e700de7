"""Sends requests at times that are scheduled in advance, independent of earlier responses.

Latency is measured from the scheduled time, so that time in a queue behind a slow response counts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, NamedTuple

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
