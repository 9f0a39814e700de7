"""Logging: JSON lines on standard error, without secrets."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, TextIO

from gateway.json_codec import dumps_log_line
from gateway.telemetry.redaction import Redactor

_log: Final = logging.getLogger("gateway.stderr")
_MAX_LINE_LENGTH: Final = 64 * 1024
#: Knows no secret values; finds secrets by the names in front of them.
_DEFAULT_REDACTOR: Final = Redactor()
#: gunicorn's `logconfig_dict`: from the start of the master, gunicorn's records are written as the gateway's are.
GUNICORN_LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {
        name: {"level": level, "handlers": [], "propagate": True}
        for name, level in (("gunicorn.error", "WARNING"), ("gunicorn.access", "WARNING"), ("gateway", "INFO"))
    },
    "handlers": {"stderr": {"class": "gateway.telemetry.logging_config.StderrHandler"}},
    "formatters": {},
}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, and the record's `fields`."""

    def __init__(self, redactor: Redactor = _DEFAULT_REDACTOR) -> None:
        super().__init__()
        self._redactor = redactor
        self._cached_second = (-1, "")  # a time in whole seconds, and its text

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line; JSON escapes line feeds in values, so a value cannot forge a line."""
        fields: dict[str, Any] = {
            "time": self._format_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields.update(getattr(record, "fields", {}))
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        line = dumps_log_line(fields)
        # Most lines contain no secret, and to check the line is faster than to redact every field.
        return dumps_log_line(self._redactor.redact(fields)) if self._redactor.may_contain_secret(line) else line

    def _format_time(self, created: float) -> str:
        """Return a UTC time with milliseconds in the format of RFC 3339; the text of the last second is cached."""
        second = int(created)
        cached_second, text = self._cached_second
        if cached_second != second:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._cached_second = second, text
        return f"{text}.{int((created - second) * 1e3):03d}+00:00"


class StderrHandler(logging.Handler):
    """Writes each record as one line with one `write` call: no lock is needed, and processes do not mix their lines."""

    def __init__(self, redactor: Redactor = _DEFAULT_REDACTOR, stream: TextIO | None = None) -> None:
        """`stream` replaces standard error, which is otherwise looked up for each record."""
        super().__init__()
        self.setFormatter(JsonFormatter(redactor))
        self._stream = stream

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Create no lock: a single `write` needs none."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; if it cannot be formatted, write a line with its logger and the class of the error."""
        try:
            line = self.format(record)
        except Exception as error:
            message = f"unwritable: {type(error).__name__}"
            line = dumps_log_line({"level": "error", "logger": record.name, "message": message})
        # The stream that a StderrToLog has replaced: StderrToLog itself would log the line again.
        stream: Any = self._stream or getattr(sys.stderr, "stream", sys.stderr)
        try:  # not contextlib.suppress(), which adds three calls to every request
            stream.write(f"{line}\n")
            stream.flush()
        except (OSError, ValueError):  # standard error is closed: the line cannot be written anywhere
            pass


class StderrToLog:
    """Replaces standard error, and logs each line that gevent or a library writes to it."""

    def __init__(self, stream: TextIO) -> None:
        """`stream` is the standard error that is replaced."""
        self.stream: Final = stream
        self._buffer = ""

    def __getattr__(self, name: str) -> Any:
        """Return the stream's attribute if this class has none of that name."""
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Log the complete lines; buffer an incomplete last line until it is completed, flushed or too long."""
        *lines, self._buffer = f"{self._buffer}{text}".split("\n")
        for line in lines:
            _log_stderr_line(line)
        if len(self._buffer) > _MAX_LINE_LENGTH:
            self.flush()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Log the buffered text, although its line is incomplete."""
        line, self._buffer = self._buffer, ""
        _log_stderr_line(line)


def _log_stderr_line(text: str) -> None:
    if text.strip():
        _log.warning("stderr output", extra={"fields": {"text": text}})


def configure(redactor: Redactor = _DEFAULT_REDACTOR) -> None:
    """Log to standard error as JSON lines: the gateway from level info on, libraries from level warning on.

    This includes gunicorn's log, Python's warnings, uncaught exceptions, and text that is written to standard error
    directly, as gevent writes the exceptions of greenlets.
    """
    stream = sys.stderr.stream if isinstance(sys.stderr, StderrToLog) else sys.stderr
    logging.basicConfig(level=logging.WARNING, handlers=[StderrHandler(redactor, stream)], force=True)
    logging.captureWarnings(capture=True)
    # The lines do not contain the thread and the process, which logging would look up for each record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("gateway").setLevel(logging.INFO)
    for name in GUNICORN_LOGGING["loggers"]:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    sys.stderr = StderrToLog(stream)
    # A hook that is not Python's default was set by another program, for instance a test runner, and stays.
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _log_uncaught
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _log_uncaught(
    error_type: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    # KeyboardInterrupt and SystemExit are the usual ways to end a process.
    if error is not None and not issubclass(error_type, KeyboardInterrupt | SystemExit):
        logging.getLogger("gateway").error("uncaught exception", exc_info=(error_type, error, traceback))
