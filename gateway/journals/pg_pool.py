"""A pool of PostgreSQL connections; every wait has a timeout.

Not psycopg_pool: its workers reconnect in the background, so a server that is down costs every caller the whole
timeout, and its return is noticed late. Here the caller connects itself, and fails at once.
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

_CHECKOUT_TIMEOUT: Final = 2.0  # seconds, if all connections are in use
_RESPONSE_TIMEOUT: Final = 4.0  # seconds; longer than the server's own timeouts, for a server that hangs
_MAX_SIZE: Final = 10


class TimeoutConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait forever for a server that keeps the connection open but does not respond."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for a response."""
        return super().wait(gen, interval, _RESPONSE_TIMEOUT if timeout is None else timeout)


class ConnectionPool:
    """The connections of one process, at most ten."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._idle: deque[TimeoutConnection] = deque()
        self._permits = threading.BoundedSemaphore(_MAX_SIZE)

    @contextmanager
    def connection(self) -> Iterator[TimeoutConnection]:
        """Check out a connection; one that is returned inside a transaction is closed."""
        if not self._permits.acquire(timeout=_CHECKOUT_TIMEOUT):
            raise psycopg.OperationalError("all connections are in use")
        try:
            connection = self._checkout()
            try:
                yield connection
            finally:
                self._release(connection)
        finally:
            self._permits.release()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _checkout(self) -> TimeoutConnection:
        while self._idle:
            connection = self._idle.pop()
            if not _is_stale(connection):
                return connection
            connection.close()
        return TimeoutConnection.connect(self._conninfo, autocommit=True)

    def _release(self, connection: TimeoutConnection) -> None:
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()
            self.close()  # the others have probably failed too


def _is_stale(connection: TimeoutConnection) -> bool:
    """Return whether the server has sent something unrequested: that it shuts down or has closed the connection."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
