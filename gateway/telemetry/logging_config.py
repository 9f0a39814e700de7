"""The one place where anything is written for the operator: JSON lines on standard error, without secrets."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, TextIO

from gateway.json_codec import write_line
from gateway.telemetry.redaction import Redactor

_log: Final = logging.getLogger("gateway.stderr")
_LONGEST: Final = 64 * 1024
_KNOWS_NAMES: Final = Redactor()
#: For gunicorn's `logconfig_dict`: its own lines go where ours go, from the master's first one on.
GUNICORN: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "WARNING", "handlers": ["lines"]},
    "loggers": {
        name: {"level": "WARNING", "handlers": [], "propagate": True} for name in ("gunicorn.error", "gunicorn.access")
    },
    "handlers": {"lines": {"class": "gateway.telemetry.logging_config.Lines"}},
    "formatters": {},
}


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and the `fields` that the call gave along."""

    def __init__(self, redactor: Redactor = _KNOWS_NAMES) -> None:
        super().__init__()
        self._redactor = redactor
        self._second = (-1, "")

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; a line feed inside a value cannot forge a line, JSON escapes it."""
        facts: dict[str, Any] = {
            "time": self._time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        facts.update(getattr(record, "fields", {}))
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            facts["stack"] = record.stack_info
        line = write_line(facts)
        return write_line(self._redactor.clean(facts)) if self._redactor.suspects(line) else line

    def _time(self, created: float) -> str:
        """Write an instant (RFC 3339, UTC, milliseconds); the second is written once for all of its lines."""
        second = int(created)
        known, text = self._second
        if known != second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second, text
        return f"{text}.{int((created - second) * 1e3):03d}+00:00"


class Lines(logging.Handler):
    """Writes each record as one line with one call, so that no lock is needed and processes do not mix theirs."""

    def __init__(self, redactor: Redactor = _KNOWS_NAMES, stream: TextIO | None = None) -> None:
        super().__init__()
        self.formatter = self._formatter = JsonFormatter(redactor)
        self._stream = stream

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Take none."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Write it; there are no filters to ask and no lock to take."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; of one that cannot be written, say at least whose it was."""
        try:
            line = self._formatter.format(record)
        except Exception as error:
            what = f"unwritable: {type(error).__name__}"
            line = write_line({"level": "error", "logger": record.name, "message": what})
        stream: Any = self._stream or getattr(sys.stderr, "stream", sys.stderr)  # never into the sieve: it logs
        try:  # for every request: suppress() would be three calls more
            stream.write(f"{line}\n")
            stream.flush()
        except (OSError, ValueError):  # nobody is left to tell
            pass


class Sieve:
    """Standard error for those who write past the log: each line of theirs becomes one of ours."""

    def __init__(self, stream: TextIO) -> None:
        self.stream: Final = stream
        self._begun = ""

    def __getattr__(self, name: str) -> Any:
        """Leave everything else to the stream."""
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Log the lines that are whole, and keep what is not until it is, or has grown too long."""
        *lines, self._begun = f"{self._begun}{text}".split("\n")
        for line in lines:
            _tell(line)
        if len(self._begun) > _LONGEST:
            self.flush()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write them one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Log what was begun: whoever says so means it."""
        begun, self._begun = self._begun, ""
        _tell(begun)


def _tell(text: str) -> None:
    if text.strip():
        _log.warning("written to standard error", extra={"fields": {"text": text}})


def configure(redactor: Redactor = _KNOWS_NAMES) -> None:
    """Send everything to standard error as lines of ours: the gateway from info on, libraries from warnings on.

    That includes gunicorn's log, Python's warnings, what nobody has caught, and what is printed past the log, as
    gevent does with the exceptions of greenlets.
    """
    stream = sys.stderr.stream if isinstance(sys.stderr, Sieve) else sys.stderr
    logging.basicConfig(level=logging.WARNING, handlers=[Lines(redactor, stream)], force=True)
    logging.captureWarnings(capture=True)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line tells them
    logging.getLogger("gateway").setLevel(logging.INFO)
    for name in GUNICORN["loggers"]:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    sys.stderr = Sieve(stream)
    # Where another program sits on these, a test runner for one, they are left to it.
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _uncaught
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = lambda what: _uncaught(what.exc_type, what.exc_value, what.exc_traceback)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = lambda what: _uncaught(what.exc_type, what.exc_value, what.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt | SystemExit):
        logging.getLogger("gateway").error("uncaught exception", exc_info=(kind, error, trace))
