"""Fails a test during which a secret was logged, in the whole suite: tests' secrets begin with `canary-`.

Loaded by tests/conftest.py with `pytest_plugins = ["tests.integration.secret_leaks.plugin"]`. It reads each record as it was made, before
anything is taken out of it: what needs to be taken out should not have been logged.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.integration.secret_leaks.markers import ANY

_METHOD: Final = "handle"
_leaks: Final[list[str]] = []
_handle: Final[Callable[[logging.Logger, logging.LogRecord], None]] = logging.Logger.handle


def _watched(self: logging.Logger, record: logging.LogRecord) -> None:
    trace = "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info else ""
    told = f"{record.msg} {record.args} {getattr(record, 'fields', '')} {trace}"
    if ANY.search(told):
        _leaks.append(f"{record.name}: {told[:300]}")
    _handle(self, record)


def pytest_configure() -> None:
    """Look at every record from now on, whichever handlers there are."""
    setattr(logging.Logger, _METHOD, _watched)


def pytest_unconfigure() -> None:
    """Look no longer."""
    setattr(logging.Logger, _METHOD, _handle)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Blame the test that has just ended, its fixtures included."""
    yield
    if _leaks:
        leaks = _leaks[:]
        _leaks.clear()
        pytest.fail("a secret was logged: " + "; ".join(leaks), pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Blame the session for what came after the last test."""
    if _leaks:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
