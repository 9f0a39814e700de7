import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from tests.performance import latency
from tests.performance.latency import Client, TimedResponse, run_schedule, schedule
from tests.performance.messages import Request

Sleep = Callable[[float], Coroutine[None, None, None]]


class FakeTime:
    """A clock that advances only by sleep, or when a test sets it."""

    def __init__(self, sleep: Sleep) -> None:
        self.seconds = 50.0
        self._sleep = sleep

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        deadline = self.seconds + max(seconds, 0.0001)
        await self._sleep(0)  # runs the other tasks
        self.seconds = max(self.seconds, deadline)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    time = FakeTime(asyncio.sleep)
    monkeypatch.setattr(asyncio, "sleep", time.sleep)
    return time


def test_schedule() -> None:
    """Requests have a fixed rate from the start."""
    assert schedule(4, 100.0) == [0.0, 0.01, 0.02, 0.03]


def test_requests_do_not_wait_for_responses(time: FakeTime) -> None:
    """All requests are sent before the first response: a slow server does not reduce the load."""
    sent: list[int] = []

    async def main() -> list[TimedResponse]:
        all_sent = asyncio.Event()

        async def send(number: int) -> tuple[int, bytes]:
            sent.append(number)
            if len(sent) == 5:
                all_sent.set()
            await all_sent.wait()
            return 200, b""

        return await run_schedule(schedule(5, 10.0), send, time)

    responses = asyncio.run(main())
    assert sent == [0, 1, 2, 3, 4]
    assert [round(response.seconds, 1) for response in responses] == [0.4, 0.3, 0.2, 0.1, 0.0]


def test_latency_starts_at_the_scheduled_time(time: FakeTime) -> None:
    """The latency of a request that is sent late includes the delay."""

    async def send(number: int) -> tuple[int, bytes]:
        if number == 0:
            time.seconds += 2.0  # blocks the event loop
        return 200, b""

    responses = asyncio.run(run_schedule([0.0, 0.5, 10.0], send, time))
    assert [round(response.seconds, 1) for response in responses] == [2.0, 1.5, 0.0]


def test_no_request_is_sent_early(time: FakeTime) -> None:
    """A request sent early would have too short a latency."""
    sent: list[float] = []

    async def send(number: int) -> tuple[int, bytes]:
        sent.append(time())
        return 200, b""

    asyncio.run(run_schedule([0.1, 0.2, 0.7], send, time))
    assert all(time_sent >= 50.0 + scheduled for time_sent, scheduled in zip(sent, [0.1, 0.2, 0.7], strict=True))


@pytest.mark.loopback
def test_connections_are_reused() -> None:
    """Consecutive requests share a connection, concurrent ones do not; each reads its own response."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = head.split(b" ")[1]
                writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()

    async def main() -> list[tuple[int, bytes]]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = Client(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")

        def send(path: str) -> Coroutine[None, None, tuple[int, bytes]]:
            return client.exchange(Request("GET", path).text.encode())

        responses = [await send("/1"), await send("/2"), *await asyncio.gather(send("/3"), send("/4"))]
        client.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)  # the handlers see the end of their connections
        return responses

    assert asyncio.run(main()) == [(201, b"/1"), (201, b"/2"), (201, b"/3"), (201, b"/4")]
    assert len(connections) == 2


def test_every_write_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write is followed by fdatasync; the file does not grow, and is removed."""
    calls: list[str] = []
    pwrite, fdatasync = os.pwrite, os.fdatasync

    def record_write(file: int, data: bytes, offset: int) -> int:
        calls.append("write")
        return pwrite(file, data, offset)

    def record_sync(file: int) -> None:
        calls.append(f"sync at {os.fstat(file).st_size}")
        fdatasync(file)

    monkeypatch.setattr(os, "pwrite", record_write)
    monkeypatch.setattr(os, "fdatasync", record_sync)
    latencies = latency.write_latencies(tmp_path / "disk", count=60, interval=0.0)
    assert len(latencies) == 60
    assert min(latencies) > 0
    assert calls == ["write", "sync at 2060000"] * 120
    assert not list(tmp_path.iterdir())
