"""What all tests share: sockets for those that say so, a clock that waits for nobody, the service over backends."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest
from flask import Flask
from hypothesis import settings

from gateway import identity
from gateway.api import AppDependencies, create_api
from gateway.domain.backend import Backend, CallContext, RateLimiter
from gateway.domain.journal import Journal
from gateway.journals import create_journal
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import Provisioner
from gateway.settings import AuthConfig
from gateway.telemetry.metrics import Metrics

NOBODY_ASKED = AuthConfig()
# What takes how long says nothing about what is right; on a busy machine everything takes long.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


pytest_plugins = ["tests.integration.secret_leaks.plugin"]


class VirtualClock:
    """Time that passes only when somebody sleeps, or a test turns it on."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def spawn(self, work: Callable[[], None]) -> None:
        work()

    def event(self) -> threading.Event:
        return threading.Event()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Open loopback sockets to the tests that are marked so, and to no other address."""
    for item in items:
        if item.get_closest_marker("loopback"):
            item.add_marker(pytest.mark.enable_socket)
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1"]))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def call(clock: VirtualClock) -> CallContext:
    """A caller's request with ten seconds to go, on the virtual clock."""
    return CallContext("test-request", clock.monotonic() + 10.0)


@pytest.fixture
def journal() -> Iterator[Journal]:
    """A journal that lives as long as the test."""
    opened = create_journal("sqlite:///:memory:")
    yield opened
    opened.close()


@pytest.fixture
def build(clock: VirtualClock, journal: Journal) -> Callable[..., Flask]:
    """Build the service over given backends, for given callers or for anybody; its ids count up."""
    ids, operations = itertools.count(1), itertools.count(1)

    def over(
        backends: Mapping[str, Backend], auth: AuthConfig = NOBODY_ASKED, limiter: RateLimiter | None = None
    ) -> Flask:
        provisioner = Provisioner(
            journal=journal,
            runtime=clock,
            new_id=lambda: f"operation-{next(operations)}",
            worker_id="test",
            known_modules=KnownModules(journal, clock),
        )
        gateway = AppDependencies(
            backends=backends,
            provisioner=provisioner,
            render_metrics=Metrics(journal.counts).render,
            clock=clock,
            new_id=lambda: f"request-{next(ids)}",
            deadline_seconds=10.0,
            authenticator=identity.create_authenticator(auth, clock, limiter=limiter),
        )
        return create_api(gateway)

    return over
