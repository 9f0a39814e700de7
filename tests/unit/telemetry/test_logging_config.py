"""Log lines: one JSON object each, which no logged value can split or forge, without secrets."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.telemetry import logging_config
from gateway.telemetry.redaction import Redactor

SECRET = "the-value-of-a-secret"


@contextmanager
def configured(monkeypatch: pytest.MonkeyPatch, redactor: Redactor | None = None) -> Iterator[list[dict[str, Any]]]:
    """Configure logging as a process does; at the end the list contains the lines on standard error."""
    lines: list[dict[str, Any]] = []
    root, gateway, stream = logging.getLogger(), logging.getLogger("gateway"), io.StringIO()
    levels = root.level, gateway.level
    logging.getLogger("gunicorn.error").propagate = False  # as gunicorn leaves it
    with monkeypatch.context() as patch:
        patch.setattr(root, "handlers", [])
        patch.setattr("sys.stderr", stream)
        patch.setattr("sys.excepthook", sys.__excepthook__)
        patch.setattr("sys.unraisablehook", sys.__unraisablehook__)
        patch.setattr("threading.excepthook", threading.__excepthook__)
        logging_config.configure(redactor or Redactor())
        try:
            yield lines
        finally:
            logging.captureWarnings(capture=False)
    root.setLevel(levels[0])
    gateway.setLevel(levels[1])
    lines += map(json.loads, stream.getvalue().splitlines())


def test_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line has time, level, logger, message, and the fields of the call."""
    with configured(monkeypatch) as lines:
        logging.getLogger("gateway.access").info("request", extra={"fields": {"status": 201, "path": Path("x")}})
    (line,) = lines
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "gateway.access", "message": "request", "status": 201, "path": "x"}


@pytest.mark.parametrize(
    ("created", "text"),
    [(0.0, "1970-01-01T00:00:00.000+00:00"), (1_800_000_000.9876, "2027-01-15T08:00:00.987+00:00")],
)
def test_time(created: float, text: str) -> None:
    """The time is RFC 3339 in UTC, truncated to milliseconds, with and without the cached second."""
    formatter = logging_config.JsonFormatter()
    record = logging.LogRecord("x", logging.INFO, "", 0, "m", None, None)
    record.created = created
    assert json.loads(formatter.format(record))["time"] == text
    assert json.loads(formatter.format(record))["time"] == text


@pytest.mark.parametrize("text", ['a\n{"level": "error"}', "\u2028\u2029\x85", "\ud800", "模块", "\x1b[31m"])
def test_one_line_per_record(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A line feed or any other character inside a value is escaped: the line is ASCII."""
    with configured(monkeypatch) as lines:
        logging.getLogger("gateway.x").warning("constant", extra={"fields": {"value": text}})
    (line,) = lines
    assert line["value"] == text
    assert line["message"] == "constant"


def test_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback is a field of its line."""
    with configured(monkeypatch) as lines:
        logging.getLogger("gateway.api").error(
            "unexpected error", exc_info=RuntimeError("failure text"), stack_info=True
        )
    (line,) = lines
    assert "RuntimeError: failure text" in line["exception"]
    assert "test_exception" in line["stack"]


def test_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway logs from info on, libraries from warning on."""
    with configured(monkeypatch) as lines:
        logging.getLogger("gateway.access").debug("hidden")
        logging.getLogger("urllib3").info("hidden")
        logging.getLogger("urllib3").warning("shown %s", "too")
        logging.getLogger("gateway.access").info("shown")
    assert [(line["level"], line["message"]) for line in lines] == [("warning", "shown too"), ("info", "shown")]


def _raise(message: str) -> None:
    raise RuntimeError(message)


def test_secrets_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name and by value: in messages, fields, tracebacks, warnings, failed threads, and printed text."""
    with configured(monkeypatch, Redactor([SECRET])) as lines:
        logging.getLogger("urllib3.connection").warning("to %s", f"https://h/{SECRET}?token=abc1")
        logging.getLogger("gunicorn.error").error("X-Auth-Token: abc1 and %s", SECRET)
        logging.getLogger("gateway.x").info("m", extra={"fields": {"headers": {"Cookie": "abc1"}, "body": [SECRET]}})
        logging.getLogger("gateway.x").error("m", exc_info=RuntimeError(f"{SECRET} password=abc1"))
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=False)
            logging.captureWarnings(capture=True)
            warnings.warn(f"bk_token=abc1 {SECRET}", stacklevel=1)
        thread = threading.Thread(target=_raise, args=(f"{SECRET} sk=abc1",))
        thread.start()
        thread.join()
        sys.excepthook(RuntimeError, RuntimeError(f"{SECRET} sk=abc1"), None)
        sys.stderr.write(f"Traceback: {SECRET}\npassword: abc1\n")
        sys.stderr.writelines(["begun ", f"{SECRET} "])
        sys.stderr.flush()
    assert len(lines) == 10
    assert {line["logger"] for line in lines} >= {
        "urllib3.connection",
        "gunicorn.error",
        "py.warnings",
        "gateway.stderr",
    }
    output = json.dumps(lines)
    assert SECRET not in output
    assert "abc1" not in output
    assert output.count("[redacted]") >= 15


def test_printed_text_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text printed to standard error is logged line by line; a line without end is logged at the maximum length."""
    with configured(monkeypatch) as lines:
        sys.stderr.write("first\n\n sec")
        sys.stderr.write("ond\n")
        sys.stderr.write("x" * 70_000)
        assert sys.stderr.isatty() is False
    assert [line["text"][:8] for line in lines] == ["first", " second", "xxxxxxxx"]
    assert {line["logger"] for line in lines} == {"gateway.stderr"}


def test_configured_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second service in one process still writes each line once."""
    with configured(monkeypatch) as lines:
        logging_config.configure(Redactor([SECRET]))
        logging.getLogger("gateway").info(SECRET)
        sys.stderr.write("printed\n")
    assert [line["message"] for line in lines] == ["[redacted]", "stderr output"]


def test_unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that cannot be formatted names its logger and the error; a closed stream is ignored."""
    with configured(monkeypatch) as lines:
        logging.getLogger("gateway.x").warning("%d", "no number")
    (line,) = lines
    assert (line["level"], line["logger"], line["message"]) == ("error", "gateway.x", "unwritable: TypeError")
    closed = io.StringIO()
    closed.close()
    record = logging.LogRecord("x", logging.INFO, "", 0, "m", None, None)
    logging_config.StderrHandler(Redactor(), closed).handle(record)
