"""Memory that the processes of one server share, in slots: a slot has one writer at a time and any number of readers.

The memory is an anonymous file that the master creates and its children inherit. It has no name that could be removed,
uses no disk that could be full, and ends with the processes. It is read and written with system calls, whose failure
is an exception; a mapped file would end the process instead (SIGBUS).
"""

from __future__ import annotations

import os
import struct
import tempfile
import time
import zlib
from typing import Final, NamedTuple

#: The environment variable with the descriptor of the memory in which a server keeps its last valid configuration.
SETTINGS_VARIABLE: Final = "GATEWAY_SETTINGS_DESCRIPTOR"
#: The header of a slot: whether its writer is alive, when it has published, and checksum and length of the content.
_HEADER: Final = struct.Struct("=BQIQ")
_REQUEST: Final = struct.Struct("=Q")
#: Distance between two slots, and so the maximum of one. Only what has been written uses memory.
_SLOT_BYTES: Final = 16 * 1024 * 1024
_READ_ATTEMPTS: Final = 5


class Snapshot(NamedTuple):
    """What was published last in a slot."""

    is_alive: bool  # False once the writer has ended
    published_at: int  # on time.monotonic_ns(), which all processes of a machine share
    content: bytes


class SharedMemory:
    """The slots; a process writes only its own, and the master marks the slots of ended workers."""

    def __init__(self, descriptor: int | None = None) -> None:
        """`descriptor` is that of inherited memory; None creates new memory."""
        self.descriptor: Final = _create_anonymous_file() if descriptor is None else descriptor

    def close(self) -> None:
        """Free the memory, unless another process has it."""
        os.close(self.descriptor)

    def slots(self) -> range:
        """Return the numbers of the slots that have been written."""
        return range(-(-os.fstat(self.descriptor).st_size // _SLOT_BYTES))

    def publish(self, slot: int, content: bytes) -> None:
        """Replace the content of the own slot; raises OSError."""
        if len(content) > _SLOT_BYTES - _HEADER.size - _REQUEST.size:
            raise OSError("the content is too large")
        header = _HEADER.pack(1, time.monotonic_ns(), zlib.crc32(content), len(content))
        os.pwrite(self.descriptor, header + content, self._offset(slot))

    def mark_ended(self, slot: int) -> None:
        """Record that the writer of a slot has ended; its content stays until another process takes the slot."""
        os.pwrite(self.descriptor, b"\0", self._offset(slot))

    def read(self, slot: int) -> Snapshot | None:
        """Return the content of a slot, or None if it is empty or being written; raises OSError."""
        for _ in range(_READ_ATTEMPTS):
            header = os.pread(self.descriptor, _HEADER.size, self._offset(slot))
            if len(header) < _HEADER.size:
                return None
            is_alive, published_at, checksum, length = _HEADER.unpack(header)
            content = os.pread(self.descriptor, length, self._offset(slot) + _HEADER.size)
            if length and zlib.crc32(content) == checksum:
                return Snapshot(bool(is_alive), published_at, content)
        return None

    def request_publication(self) -> int:
        """Ask all writers to publish; return the time from which on their publications are new enough."""
        now = time.monotonic_ns()
        os.pwrite(self.descriptor, _REQUEST.pack(now), 0)
        return now

    def requested_at(self) -> int:
        """Return the time of the last request to publish."""
        (time_ns,) = _REQUEST.unpack(os.pread(self.descriptor, _REQUEST.size, 0).ljust(_REQUEST.size, b"\0"))
        return int(time_ns)

    @staticmethod
    def _offset(slot: int) -> int:
        return slot * _SLOT_BYTES + _REQUEST.size


def _create_anonymous_file() -> int:
    try:
        return os.memfd_create("module-gateway")
    except (AttributeError, OSError):  # only Linux has it; a file without a name is the nearest substitute
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
