"""Fixtures of all tests: sockets for marked tests, a virtual clock, and a builder of the service."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from flask import Flask
from hypothesis import settings
from requests.adapters import HTTPAdapter

from gateway import identity
from gateway.api import AppDependencies, create_api
from gateway.domain.backend import Backend, CallContext, RateLimiter
from gateway.domain.journal import Journal
from gateway.journals import create_journal
from gateway.provisioning.known_modules import BackendClocks, KnownModules
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.update_delete import ChangeService
from gateway.settings import AuthConfig
from gateway.telemetry.metrics import Metrics
from gateway.transport.connection_pool import PooledAdapter

NO_AUTH = AuthConfig()
# A deadline would fail tests on a busy machine.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


pytest_plugins = ["tests.integration.secret_leaks.plugin"]


class LocalSocket:
    """Stands in for the socket of a connection to a local address, which a server puts into the environment."""

    def __init__(self, address: object = ("127.0.0.1", 8000)) -> None:
        self.address = address

    def getsockname(self) -> object:
        """Return the local address, or raise it if it is an error."""
        if isinstance(self.address, Exception):
            raise self.address
        return self.address


def serve_locally(app: Flask) -> Flask:
    """Let a test client's requests arrive at a loopback address: without authentication nothing else is served."""
    wsgi_app = app.wsgi_app

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        environ.setdefault("gunicorn.socket", LocalSocket())
        return wsgi_app(environ, start_response)

    app.wsgi_app = call  # type: ignore[method-assign]
    return app


class VirtualClock:
    """A clock that advances only by sleep, or when a test sets it.

    Wall time and monotonic time advance together, and are never equal; `step` moves wall time alone.
    """

    def __init__(self) -> None:
        self.seconds = 3_000_000_000.0  # monotonic; far ahead of the machine's clock, which ends sockets' deadlines
        self.wall_offset = 1_800_000_000.0 - self.seconds

    def now(self) -> float:
        return self.seconds + self.wall_offset

    def monotonic(self) -> float:
        return self.seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back if `seconds` is negative."""
        self.wall_offset += seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def spawn(self, work: Callable[[], None]) -> None:
        work()

    def event(self) -> threading.Event:
        return threading.Event()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Enable loopback sockets for the tests that are marked with `loopback`."""
    for item in items:
        if item.get_closest_marker("loopback"):
            item.add_marker(pytest.mark.enable_socket)
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1"]))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def call(clock: VirtualClock) -> CallContext:
    """The context of a request whose deadline is in ten seconds on the virtual clock."""
    return CallContext("test-request", clock.monotonic() + 10.0)


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> str:
    """The method that `responses` replaces; it needs two more public members of requests' HTTPAdapter."""
    for member in ("build_response", "max_retries"):
        monkeypatch.setattr(PooledAdapter, member, getattr(HTTPAdapter(), member), raising=False)
    return "gateway.transport.connection_pool.PooledAdapter.send"


@pytest.fixture
def journal() -> Iterator[Journal]:
    """A journal in memory."""
    journal = create_journal("sqlite:///:memory:")
    yield journal
    journal.close()


@pytest.fixture
def build(clock: VirtualClock, journal: Journal) -> Callable[..., Flask]:
    """Return a function that builds the service over the backends passed to it; ids are consecutive numbers."""
    ids, operations, changes = itertools.count(1), itertools.count(1), itertools.count(1)

    def build_service(
        backends: Mapping[str, Backend], auth: AuthConfig = NO_AUTH, limiter: RateLimiter | None = None
    ) -> Flask:
        provisioner = Provisioner(
            journal=journal,
            runtime=clock,
            new_id=lambda: f"operation-{next(operations)}",
            worker_id="test",
            known_modules=KnownModules(journal, clock),
            backend_clocks=BackendClocks(clock),
        )
        dependencies = AppDependencies(
            backends=backends,
            provisioner=provisioner,
            changes=ChangeService(journal, clock, lambda: f"change-{next(changes)}"),
            render_metrics=Metrics(journal.counts).render,
            clock=clock,
            new_id=lambda: f"request-{next(ids)}",
            deadline_seconds=10.0,
            authenticator=identity.create_authenticator(auth, clock, limiter=limiter),
        )
        return serve_locally(create_api(dependencies))

    return build_service
