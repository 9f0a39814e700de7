"""What one connection may cost, and when it is left alone: the settings that every backend has."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from gateway.settings import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """What one exchange may cost, and how many of them there may be."""

    connect_seconds: float = 3.0
    hard_timeout_seconds: float = 35.0  # connect, send, headers and body together
    max_reply_bytes: int = 8 * 1024 * 1024
    ca_file: str | None = None  # a private authority; None: the public ones
    idle_seconds: float = 15.0  # a kept connection that idled longer is not used again
    requests_per_second: float = 0.0  # 0: not counted
    concurrent_calls: int = 1000  # of one process; each holds a socket and a reply's memory
    queued_calls: int = 1000  # how many more may wait for one of them to end
    circuit_failures: int = 10  # so many in a row, and nothing is sent for a while; 0: never
    circuit_seconds: float = 10.0  # the first while; each that follows is twice as long, up to a minute

    @classmethod
    def read(cls, table: Table, *, requests_per_second: float = 0.0) -> TransportSettings:
        """Read the settings that every connection has; an adapter that knows its backend's rate gives it along."""
        ca_file = table.text("ca_file", "") or None
        if ca_file is not None and not _is_authority(ca_file):
            table.wrong("ca_file", f"no certificate can be read from the file {ca_file}")
        return cls(
            connect_seconds=table.number("connect_seconds", 3.0, most=60.0),
            hard_timeout_seconds=table.number("hard_timeout_seconds", 35.0, most=600.0),
            ca_file=ca_file,
            idle_seconds=table.number("idle_seconds", 15.0, most=600.0),
            requests_per_second=_rate(table, requests_per_second),
            concurrent_calls=_whole(table, "concurrent_calls", 1000, above=0),
            queued_calls=_whole(table, "queued_calls", 1000),
            circuit_failures=_whole(table, "circuit_failures", 10),
            circuit_seconds=table.number("circuit_seconds", 10.0, most=600.0),
        )


def _whole(table: Table, key: str, default: int, *, above: int = -1) -> int:
    value = table.number(key, default, above=above, most=100_000)
    if not value.is_integer():
        table.wrong(key, "must be a whole number")
        return default
    return int(value)


def _rate(table: Table, default: float) -> float:
    """Read a rate that may be written as 0 although the default is none."""
    value = table.number("requests_per_second", default, above=-1, most=1e6)
    if -1 < value < 0:
        table.wrong("requests_per_second", "must be 0, for no limit, or more")
    return value


def _is_authority(path: str) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except OSError:
        return False
    return True
