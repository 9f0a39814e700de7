"""Requests at times that are fixed beforehand, whether earlier ones have been answered or not.

Latency runs from the time that was *planned*: what waits behind a slow answer waits for the server, and counts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

#: The event loop wakes up to a millisecond late; the last stretch before a planned time is spent awake.
_AWAKE: Final = 0.0015
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long after its planned time, seconds."""

    status: int
    seconds: float
    body: bytes


def plan(count: int, rate: float) -> list[float]:
    """Return when each request is due, seconds from the start."""
    return [number / rate for number in range(count)]


async def launch(
    due: Sequence[float],
    send: Callable[[int], Coroutine[None, None, tuple[int, bytes]]],
    now: Callable[[], float] = perf_counter,
) -> list[Answer]:
    """Start every request at its time, never waiting for another, and return their answers in order."""
    start = now()

    async def one(number: int, planned: float) -> Answer:
        status, body = await send(number)
        return Answer(status, now() - planned, body)

    running = []
    for number, after in enumerate(due):
        planned = start + after
        await asyncio.sleep(max(planned - _AWAKE - now(), 0.0))
        while now() < planned:  # noqa: ASYNC110 - nothing but time passes
            await asyncio.sleep(0)
        running.append(asyncio.ensure_future(one(number, planned)))
    return await asyncio.gather(*running)


@dataclass(slots=True)
class Client:
    """Connections to one server, kept and used again; a request that finds none idle opens one more."""

    address: str
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole request and return status and body."""
        host, _, port = self.address.rpartition(":")
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(host, int(port))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        self._idle.append((reader, writer))
        return int(head[9:12]), body

    async def close(self) -> None:
        """Hang up."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


def encode(address: str, method: str, path: str, body: str, headers: dict[str, str]) -> bytes:
    """Write a request of HTTP/1.1."""
    content = body.encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address}", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content
