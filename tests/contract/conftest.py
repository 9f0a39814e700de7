"""Provides every backend fixture to every test of the suite."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.domain.backend import CallContext
from tests.contract.testbed import BackendFixture, find_fixtures

_NUMBERS = itertools.count(1)


@pytest.fixture(params=[pytest.param(factory, id=name) for name, factory in find_fixtures()])
def testbed(request: pytest.FixtureRequest) -> Iterator[BackendFixture]:
    with request.param() as fixture:
        yield fixture


@pytest.fixture
def call() -> CallContext:
    """A call with a deadline in ten seconds on the machine's clock: the twins respond in real time."""
    return CallContext("contract-suite", time.monotonic() + 10.0)


@pytest.fixture
def new_name() -> Callable[[], str]:
    """A function that returns unused names, valid for every backend."""
    return lambda: f"contract-{next(_NUMBERS)}"
