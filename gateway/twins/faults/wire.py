"""Sends a reply badly: in pieces, in part, or with a reset at its end."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedIOBase
from socket import SO_LINGER, SOL_SOCKET, close, socket
from typing import Any, Final

# Linger on, for no time: closing discards what is unsent and sends RST in place of FIN.
_ABORT: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Plan:
    """How a reply leaves: `most` bytes of it (None: all), counted from its body or its head, then the end."""

    most: int | None = None
    of_body: bool = False
    resets: bool = False
    piece: int = 0  # bytes sent at a time; 0: as they come
    seconds: float = 0.0  # between two pieces


class Wire(BufferedIOBase):
    """Stands in for the file a reply is written to; the first write is the head, as `http.server` sends it."""

    def __init__(self, out: Any, connection: socket, plan: Plan, wait: Callable[[float], None]) -> None:
        self._out = out
        self._connection = connection
        self._plan = plan
        self._wait = wait
        self._left = plan.most
        self._begun = False

    def write(self, data: Any) -> int:
        """Pass on what the plan lets through; raises ConnectionError where it ends."""
        if self._left is not None and self._plan.of_body and not self._begun:
            self._left += len(data)
        allowed = bytes(data[: self._left])
        step = self._plan.piece or len(allowed) or 1
        for start in range(0, len(allowed), step):
            if self._begun and self._plan.seconds:
                self._wait(self._plan.seconds)
            self._out.write(allowed[start : start + step])
            self._out.flush()
            self._begun = True
        if self._left is not None:
            self._left -= len(allowed)
            if not self._left:
                self._end()
        return len(data)

    def _end(self) -> None:
        if self._plan.resets:
            self._connection.setsockopt(SOL_SOCKET, SO_LINGER, _ABORT)
            close(self._connection.detach())  # at once: a shutdown, which the server would do first, sends FIN
        raise ConnectionAbortedError
