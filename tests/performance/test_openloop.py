import asyncio
from collections.abc import Callable, Coroutine

import pytest

from tests.performance import openloop

Sleep = Callable[[float], Coroutine[None, None, None]]


class Time:
    """Passes only while the generator sleeps, or a test says so."""

    def __init__(self, sleep: Sleep) -> None:
        self.seconds = 50.0
        self._sleep = sleep

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        until = self.seconds + max(seconds, 0.0001)
        await self._sleep(0)  # the others' turn
        self.seconds = max(self.seconds, until)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time(asyncio.sleep)
    monkeypatch.setattr(asyncio, "sleep", time.sleep)
    return time


def test_the_plan_is_made_beforehand() -> None:
    """At a fixed rate, from the start on."""
    assert openloop.plan(4, 100.0) == [0.0, 0.01, 0.02, 0.03]


def test_nobody_waits_for_an_answer(time: Time) -> None:
    """All requests are on their way before the first is answered: a slow server does not slow the load down."""
    sent: list[int] = []

    async def main() -> list[openloop.Answer]:
        everybody = asyncio.Event()

        async def send(number: int) -> tuple[int, bytes]:
            sent.append(number)
            if len(sent) == 5:
                everybody.set()
            await everybody.wait()
            return 200, b""

        return await openloop.launch(openloop.plan(5, 10.0), send, time)

    answers = asyncio.run(main())
    assert sent == [0, 1, 2, 3, 4]
    assert [round(answer.seconds, 1) for answer in answers] == [0.4, 0.3, 0.2, 0.1, 0.0]


def test_latency_counts_from_the_planned_time(time: Time) -> None:
    """What could not be sent in time because all stood still has waited since it was due, not since it was sent."""

    async def send(number: int) -> tuple[int, bytes]:
        if number == 0:
            time.seconds += 2.0  # everything stands still
        return 200, b""

    answers = asyncio.run(openloop.launch([0.0, 0.5, 10.0], send, time))
    assert [round(answer.seconds, 1) for answer in answers] == [2.0, 1.5, 0.0]


def test_nothing_is_sent_early(time: Time) -> None:
    """A request that went before its time would be given the difference."""
    sent: list[float] = []

    async def send(number: int) -> tuple[int, bytes]:
        sent.append(time())
        return 200, b""

    asyncio.run(openloop.launch([0.1, 0.2, 0.7], send, time))
    assert all(at >= 50.0 + due for at, due in zip(sent, [0.1, 0.2, 0.7], strict=True))


@pytest.mark.loopback
def test_connections_are_kept() -> None:
    """Two requests one after the other share a connection; two at once do not, and each reads its own answer."""
    served: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(len(served))
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = head.split(b" ")[1]
                writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()

    async def main() -> list[tuple[int, bytes]]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = openloop.Client(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")

        def ask(path: str) -> Coroutine[None, None, tuple[int, bytes]]:
            return client.exchange(openloop.encode("x", "GET", path, "", {}))

        told = [await ask("/1"), await ask("/2"), *await asyncio.gather(ask("/3"), ask("/4"))]
        await client.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)  # for what serves to see that nobody is there any more
        return told

    assert asyncio.run(main()) == [(201, b"/1"), (201, b"/2"), (201, b"/3"), (201, b"/4")]
    assert len(served) == 2
