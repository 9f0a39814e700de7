"""Connections to PostgreSQL that are kept for the next statement; every wait for one or on one has an end.

Not psycopg_pool: its workers try again behind the caller's back, so that a server that is down costs every caller the
whole timeout, and one that is back is noticed late. Here a caller connects for himself, and is refused at once.
"""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

_WAIT_SECONDS: Final = 2.0  # for a connection, where all are in use
_REPLY_SECONDS: Final = 4.0  # for a server that has stopped in mid-sentence; its own timeouts are shorter
_AT_ONCE: Final = 10


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait forever for a server that keeps the line open and says nothing."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for a reply."""
        return super().wait(gen, interval, _REPLY_SECONDS if timeout is None else timeout)


class Connections:
    """A process's connections, at most ten; those beyond wait for their turn."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._idle: deque[Connection] = deque()
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """Lend a connection that was alive a moment ago; one that comes back in the middle of something is closed."""
        if not self._places.acquire(timeout=_WAIT_SECONDS):
            raise psycopg.OperationalError("all connections are in use")
        try:
            connection = self._take()
            try:
                yield connection
            finally:
                self._put_back(connection)
        finally:
            self._places.release()

    def close(self) -> None:
        """Close what is not in use."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not _has_news(connection):
                return connection
            connection.close()
        return Connection.connect(self._conninfo, autocommit=True)

    def _put_back(self, connection: Connection) -> None:
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()
            self.close()  # what happened to one has probably happened to all


def _has_news(connection: Connection) -> bool:
    """Tell whether a server said something unasked: that it is going, or has gone."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
