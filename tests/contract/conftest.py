"""Opens each stand once and hands it to every test of the suite."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.domain.backend import CallContext
from tests.contract.stand import Stand, find_stands

_NAMES = itertools.count(1)


@pytest.fixture(params=[pytest.param(opener, id=name) for name, opener in find_stands()])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    with request.param() as opened:
        yield opened


@pytest.fixture
def call() -> CallContext:
    """Ten seconds on the machine's clock: the twins answer in real time."""
    return CallContext("contract-suite", time.monotonic() + 10.0)


@pytest.fixture
def new_name() -> Callable[[], str]:
    """Names that nothing has yet, and that every backend takes."""
    return lambda: f"contract-{next(_NAMES)}"
