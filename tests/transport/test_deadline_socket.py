"""A socket whose timeout is a total: reads and writes spend it together."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gateway.transport import deadline
from gateway.transport.deadline import DeadlineSocket
from tests.conftest import VirtualClock

Pair = tuple[DeadlineSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of one connection, ours with a deadline."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield DeadlineSocket(ours), theirs


@pytest.fixture
def watch(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """The clock that deadlines are measured on, turned by hand."""
    monkeypatch.setattr(deadline, "time", clock)
    return clock


def test_a_timeout_is_spent_by_all_that_follows(pair: Pair, watch: VirtualClock) -> None:
    """Each single read is quick; together they end when the seconds are over."""
    ours, theirs = pair
    theirs.sendall(b"abcdef")
    ours.settimeout(5.0)
    with ours.makefile("rb") as reader:
        raw = reader.raw
        for _ in range(4):
            assert len(raw.read(1)) == 1
            watch.sleep(1.25)
        with pytest.raises(TimeoutError, match="the deadline has passed"):
            raw.read(1)
    with pytest.raises(TimeoutError):
        ours.sendall(b"late")


def test_each_call_gets_what_is_left(pair: Pair, watch: VirtualClock) -> None:
    """The socket below waits for the rest of the time, and never longer."""
    ours, _ = pair
    ours.settimeout(5.0)
    watch.sleep(2.0)
    ours.sendall(b"a")
    assert ours.gettimeout() == 3.0


def test_a_new_timeout_starts_anew(pair: Pair, watch: VirtualClock) -> None:
    """A connection that is used again has the time of its new request."""
    ours, theirs = pair
    ours.settimeout(1.0)
    watch.sleep(2.0)
    ours.settimeout(1.0)
    ours.sendall(b"in time")
    assert theirs.recv(100) == b"in time"


def test_no_timeout_is_no_deadline(pair: Pair, watch: VirtualClock) -> None:
    """None waits for ever, as it does on a socket."""
    ours, _ = pair
    ours.settimeout(1.0)
    ours.settimeout(None)
    watch.sleep(1e9)
    ours.sendall(b"a")
    assert ours.gettimeout() is None
