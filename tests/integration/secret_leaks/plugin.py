"""A pytest plugin for the whole suite that fails a test which logs a secret; tests' secrets begin with `canary-`.

tests/conftest.py loads it. It checks each record before redaction: a secret that needs redaction must not be logged.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.integration.secret_leaks.secret_markers import ANY

_METHOD: Final = "handle"
_leaks: Final[list[str]] = []
_handle: Final[Callable[[logging.Logger, logging.LogRecord], None]] = logging.Logger.handle


def _check_and_handle(self: logging.Logger, record: logging.LogRecord) -> None:
    trace = "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info else ""
    text = f"{record.msg} {record.args} {getattr(record, 'fields', '')} {trace}"
    if ANY.search(text):
        _leaks.append(f"{record.name}: {text[:300]}")
    _handle(self, record)


def pytest_configure() -> None:
    """Check every record, independent of the handlers."""
    setattr(logging.Logger, _METHOD, _check_and_handle)


def pytest_unconfigure() -> None:
    """Restore the method."""
    setattr(logging.Logger, _METHOD, _handle)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Fail the test that has just ended; its fixtures count."""
    yield
    if _leaks:
        leaks = _leaks[:]
        _leaks.clear()
        pytest.fail("a secret was logged: " + "; ".join(leaks), pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session for records after the last test."""
    if _leaks:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
