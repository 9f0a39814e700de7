"""Counting requests in a real Redis, and what happens when it is not there."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from limits import WindowStats
from limits.errors import ConfigurationError as Unusable

from gateway.app import SystemClock
from gateway.resilience import create_rate_limiter
from gateway.resilience import redis_rate_limiter as limiter_module
from gateway.resilience.redis_rate_limiter import RedisRateLimiter
from gateway.settings import ConfigurationError
from tests.conftest import VirtualClock
from tests.unit.resilience.redis import Redis

pytestmark = pytest.mark.loopback


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with Redis(tmp_path) as started:
        yield started


class Own:
    """The count of this process: it tells that it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def acquire(self, key: str, per_second: float) -> float:
        self.asked += 1
        return 7.0


def shared(url: str, clock: VirtualClock) -> tuple[RedisRateLimiter, Own]:
    own = Own()
    return RedisRateLimiter(url, own, clock), own


def test_all_processes_share_one_count(redis: Redis) -> None:
    """Two limiters on one Redis let through together what one may; keys are counted apart."""
    one, other = create_rate_limiter(redis.url, SystemClock()), create_rate_limiter(redis.url, SystemClock())
    waits = [limiter.acquire("backend:cmdb", 0.01) for limiter in (one, other, one, other)]
    assert waits[0] == 0
    assert all(90.0 < wait <= 100.0 for wait in waits[1:])
    assert other.acquire("backend:other", 0.01) == 0.0


def test_there_is_room_again_after_the_wait(redis: Redis) -> None:
    """A refusal counts nothing, and tells when the oldest request leaves the window."""
    limiter, clock = create_rate_limiter(redis.url, SystemClock()), SystemClock()
    waits = [limiter.acquire("a", 4.0) for _ in range(8)]
    assert waits[:4] == [0.0] * 4
    assert all(0 < wait <= 1.0 for wait in waits[4:])
    clock.sleep(waits[-1] + 0.05)
    assert limiter.acquire("a", 4.0) == 0.0


def test_a_wait_of_nothing_is_never_told_to_who_was_not_counted(clock: VirtualClock) -> None:
    """The window may move between the refusal and the question how long: 0 would say *counted*."""

    class Moved:
        def hit(self, *_: object) -> bool:
            return False

        def get_window_stats(self, *_: object) -> WindowStats:
            return WindowStats(reset_time=0.0, remaining=1)

    limiter, _ = shared("redis://127.0.0.1:1/0", clock)
    limiter._shared = Moved()  # type: ignore[assignment,misc] # of it, these two are used
    assert limiter.acquire("a", 1.0) == 0.001


def test_a_redis_that_is_down_stops_nothing(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """Each process counts for itself, asks Redis again every five seconds, and says so once a minute."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    limiter, own = shared(f"redis://:secret@127.0.0.1:{port}/0", clock)
    with caplog.at_level(logging.WARNING, "gateway.resilience"):
        for _ in range(130):
            assert limiter.acquire("a", 1.0) == 7.0
            clock.sleep(1.0)
    assert own.asked == 130
    assert [record.__dict__["fields"] for record in caplog.records] == [{"error": "ConnectionError"}] * 3
    assert "secret" not in caplog.text


def test_a_redis_that_is_back_counts_again(redis: Redis, clock: VirtualClock) -> None:
    """Without a restart; what was counted before is forgotten with the server."""
    limiter, own = shared(redis.url, clock)
    assert limiter.acquire("a", 0.01) == 0.0
    redis.stop()
    assert (limiter.acquire("a", 0.01), limiter.acquire("a", 0.01), own.asked) == (7.0, 7.0, 2)
    redis.start()
    assert limiter.acquire("a", 0.01) == 7.0  # it is left alone for a while
    clock.sleep(5.0)
    assert (limiter.acquire("a", 0.01), own.asked) == (0.0, 3)


def test_a_redis_that_hangs_is_waited_for_once(redis: Redis, clock: VirtualClock) -> None:
    """It accepts and does not answer: one call waits, briefly; the others do not ask it."""
    limiter, own = shared(redis.url, clock)
    limiter.acquire("a", 0.01)
    redis.freeze()
    assert [limiter.acquire("a", 0.01) for _ in range(200)] == [7.0] * 200
    redis.thaw()
    assert own.asked == 200


def test_nobody_waits_long_for_redis() -> None:
    """A quarter of a second to connect, the same for an answer, and no second attempt."""
    limiter = RedisRateLimiter("redis://127.0.0.1:1/0", Own(), VirtualClock())
    options = limiter._shared.storage.storage.connection_pool.connection_kwargs  # type: ignore[attr-defined] # of redis
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.25, 0.25)
    assert not options.get("retry_on_timeout")
    assert options.get("retry") is None


def test_without_the_client_the_process_does_not_start(monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> None:
    """The extra that is missing is named; counting each for itself would not be what was asked for."""

    def missing(*_: object, **__: object) -> None:
        raise Unusable("no module redis")

    monkeypatch.setattr(limiter_module, "storage_from_string", missing)
    with pytest.raises(ConfigurationError, match=r"limits\.storage: needs the extra `redis`"):
        create_rate_limiter("redis://127.0.0.1:1/0", clock)
