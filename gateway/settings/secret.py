"""A secret of the configuration; one that is written as file:PATH is read again when the file changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from marshmallow import ValidationError

_log: Final = logging.getLogger("gateway.settings")
#: How often a file is looked at, in seconds.
_LOOK_INTERVAL: Final = 1.0
#: How long a file must stay the same, after a backend has refused its last value, in seconds.
_SETTLE_SECONDS: Final = 0.1
#: Device, inode, size and times of a file; None: there is none. A link is followed, so a swapped one is another file.
_Fingerprint = tuple[int, int, int, int, int] | None


class Secret:
    """A string that `repr` does not show."""

    can_change = False

    def __init__(self, value: str) -> None:
        self._value = value

    @property
    def value(self) -> str:
        """The value to use now; do not keep it."""
        return self._value

    def reread(self) -> None:
        """Look for a new value at once; called when a backend has refused the present one."""

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        """Call `callback` with the old and the new value before the new one is used."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.value == other.value

    def __hash__(self) -> int:
        return hash(Secret)  # the value may change


class FileSecret(Secret):
    """The content of a file. A file that is missing, or has no valid content, keeps the last good value in use.

    A change is taken when two looks in a row have seen the same file, so that one that is being written is not taken.
    """

    can_change = True

    def __init__(
        self,
        path: str,
        load: Callable[[], str],
        value: str | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = lambda seconds: time.sleep(seconds),  # noqa: PLW0108 - gevent replaces it later
    ) -> None:
        """`load` returns the value in the file or raises ValidationError, whose text must not contain it.

        With a `value`, the file is not read before it changes.
        """
        self._path = path
        self._load = load
        self._monotonic = monotonic
        self._sleep = sleep
        self._taken = self._seen = self._warned = _fingerprint(path)  # of the last good value, look and warning
        self._next_look = monotonic() + _LOOK_INTERVAL
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[str, str], None]] = []
        super().__init__(load() if value is None else value)

    def __reduce__(self) -> tuple[type[FileSecret], tuple[str, Callable[[], str], str]]:
        """Pickle the path and the last good value: another process looks at the file itself."""
        return type(self), (self._path, self._load, self._value)

    @property
    def value(self) -> str:
        """The last good value; looks at the file about once a second."""
        if self._monotonic() >= self._next_look and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._value

    def reread(self) -> None:
        """Look at once; if the file has changed, wait until it has stayed the same for a moment."""
        with self._lock:
            self._look()
            if self._seen != self._taken:
                self._sleep(_SETTLE_SECONDS)
                self._look()

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        """Call `callback` with the old and the new value before the new one is used."""
        self._callbacks.append(callback)

    def _look(self) -> None:
        self._next_look = self._monotonic() + _LOOK_INTERVAL
        fingerprint = _fingerprint(self._path)
        is_stable, self._seen = fingerprint == self._seen, fingerprint
        if fingerprint == self._taken or not is_stable:
            return
        try:
            value = self._load()
        except ValidationError as error:
            if fingerprint != self._warned:
                self._warned = fingerprint
                fields = {"path": self._path, "reason": str(error.messages[0])}
                _log.warning("secret file is not usable, its last value stays in use", extra={"fields": fields})
            return
        if _fingerprint(self._path) != fingerprint:  # it changed while it was read
            return
        self._taken = self._warned = fingerprint
        if value != self._value:
            for callback in self._callbacks:
                callback(self._value, value)
            self._value = value
            _log.info("secret file was read again", extra={"fields": {"path": self._path}})


def _fingerprint(path: str) -> _Fingerprint:
    try:
        stat = Path(path).stat()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
