"""A pool of PostgreSQL connections; every wait has a timeout.

Not psycopg_pool: its workers reconnect in the background, so a server that is down costs every caller the whole
timeout, and its return is noticed late. Here the caller connects itself, and fails at once.
"""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

_CHECKOUT_TIMEOUT: Final = 2.0  # seconds, if all connections are in use
RESPONSE_TIMEOUT: Final = 4.0  # seconds; longer than the server's own timeouts, for a server that hangs
_MAX_SIZE: Final = 10


Cursor = psycopg.Cursor[tuple[Any, ...]]


class TimeoutConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait forever for a server that keeps the connection open but does not respond."""

    _response_timeout = RESPONSE_TIMEOUT

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for a response."""
        return super().wait(gen, interval, self._response_timeout if timeout is None else timeout)

    @contextmanager
    def response_timeout(self, seconds: float) -> Iterator[None]:
        """Wait longer than usual for the responses within the context."""
        self._response_timeout = seconds
        yield
        self._response_timeout = RESPONSE_TIMEOUT


class ConnectionPool:
    """The connections of one process, at most ten."""

    def __init__(self, conninfo: Callable[[], str], reread: Callable[[], None]) -> None:
        """`conninfo` returns the parameters of a new connection; `reread` looks whether its password has changed."""
        self._conninfo = conninfo
        self._reread = reread
        self._idle: deque[TimeoutConnection] = deque()
        self._permits = threading.BoundedSemaphore(_MAX_SIZE)

    @contextmanager
    def connection(self) -> Iterator[TimeoutConnection]:
        """Check out a connection; one that is returned after an error or inside a transaction is closed."""
        if not self._permits.acquire(timeout=_CHECKOUT_TIMEOUT):
            raise psycopg.OperationalError("all connections are in use")
        try:
            connection = self._checkout()
            has_failed = True
            try:
                yield connection
                has_failed = False
            finally:
                self._release(connection, has_failed=has_failed)
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
        conninfo = self._conninfo()
        try:
            return self._connect(conninfo)
        except psycopg.OperationalError:
            self._reread()
            if (changed := self._conninfo()) == conninfo:
                raise
            return self._connect(changed)

    def _connect(self, conninfo: str) -> TimeoutConnection:
        # Parameters are bound here, not by the server: several statements are one message, and none is prepared, which
        # a pooler in transaction mode does not support.
        return TimeoutConnection.connect(conninfo, autocommit=True, cursor_factory=psycopg.ClientCursor)

    def _release(self, connection: TimeoutConnection, *, has_failed: bool) -> None:
        """Keep a connection for reuse; after a failure close it and all idle ones: the server may have gone away."""
        if not has_failed and connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.close()
            self.close()


def _is_stale(connection: TimeoutConnection) -> bool:
    """Return whether there is unread input: an idle server only sends that it shuts down, or the end of the stream."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
