"""Counts the codes of backends that no table knows, by listening to what the tables log."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Final

from prometheus_client import Counter

#: What the tables in gateway.domain.tables write to; the domain knows no metrics.
_LOGGER: Final = "gateway.backends"
_MESSAGE: Final = "unmapped backend code"
#: A backend that makes codes up must not make series up; all that come after so many are one.
_MOST: Final = 50
_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)


class Unmapped(logging.Handler):
    """A handler that writes nothing and counts."""

    def __init__(self, counter: Counter, backends: Collection[str]) -> None:
        super().__init__(logging.WARNING)
        self._counter = counter
        self._backends = backends
        self._codes: set[str] = set()

    def listen(self) -> None:
        """Take the place of whoever counted before."""
        logger = logging.getLogger(_LOGGER)
        for handler in logger.handlers[:]:
            if isinstance(handler, Unmapped):
                logger.removeHandler(handler)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Count a code."""
        if record.msg != _MESSAGE:
            return
        fields = getattr(record, "fields", {})
        backend, code = fields.get("backend"), str(fields.get("code"))
        if code not in self._codes and (len(self._codes) >= _MOST or not _CODE.fullmatch(code)):
            code = "other"
        else:
            self._codes.add(code)
        self._counter.labels(backend if backend in self._backends else "other", code).inc()
