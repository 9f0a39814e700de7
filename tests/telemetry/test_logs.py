"""Log lines: one JSON object each, which nothing that is logged can break or forge."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.telemetry import logs


@contextmanager
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Configure the log as a process does; afterwards the list holds what an operator has read on standard error."""
    lines: list[dict[str, Any]] = []
    root, gateway, stream = logging.getLogger(), logging.getLogger("gateway"), io.StringIO()
    levels = root.level, gateway.level
    with monkeypatch.context() as patch:
        patch.setattr(root, "handlers", [])
        patch.setattr("sys.stderr", stream)
        logs.configure()
        yield lines
    root.setLevel(levels[0])
    gateway.setLevel(levels[1])
    lines += map(json.loads, stream.getvalue().splitlines())


def test_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line has time, level, logger, message, and the fields that came along."""
    with configured(monkeypatch) as lines:
        logging.getLogger("gateway.access").info("request", extra={"fields": {"status": 201, "path": Path("x")}})
    (line,) = lines
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "gateway.access", "message": "request", "status": 201, "path": "x"}


@pytest.mark.parametrize("text", ['a\n{"level": "error"}', "\u2028\u2029\x85", "\ud800", "模块", "\x1b[31m"])
def test_one_line_each(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A line feed or any other character inside a value stays inside it: the line is ASCII."""
    with configured(monkeypatch) as lines:
        logging.getLogger("gateway.x").warning("constant", extra={"fields": {"value": text}})
    (line,) = lines
    assert line["value"] == text
    assert line["message"] == "constant"


def test_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug's trace is a field of its line, and does not spill over others."""
    with configured(monkeypatch) as lines:
        logging.getLogger("gateway.api").error("unexpected error", exc_info=RuntimeError("words"))
    (line,) = lines
    assert "RuntimeError: words" in line["exception"]


def test_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway speaks from info on, libraries from warnings on."""
    with configured(monkeypatch) as lines:
        logging.getLogger("gateway.access").debug("hidden")
        logging.getLogger("urllib3").info("hidden")
        logging.getLogger("urllib3").warning("shown %s", "too")
        logging.getLogger("gateway.access").info("shown")
    assert [(line["level"], line["message"]) for line in lines] == [("warning", "shown too"), ("info", "shown")]
