"""Fixtures of all tests: sockets for marked tests, a virtual clock, and a builder of the service."""

from __future__ import annotations

import inspect
import itertools
import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any
from unittest import mock

import pytest
from flask import Flask
from hypothesis import settings
from requests.adapters import HTTPAdapter

from gateway import identity
from gateway.api import AppDependencies, create_api
from gateway.api.routes import register_blueprints
from gateway.domain.backend import Backend, CallContext, RateLimiter
from gateway.domain.journal import Journal
from gateway.journals import create_journal
from gateway.provisioning.change_feed import ChangeFeed
from gateway.provisioning.known_modules import BackendClocks, KnownModules
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.resolve import ResolveService
from gateway.provisioning.update_delete import ChangeService
from gateway.settings import AuthConfig
from gateway.telemetry.metrics import Metrics
from gateway.transport.connection_pool import PooledAdapter

NO_AUTH = AuthConfig()
_first_app: list[Flask] = []
# A deadline would fail tests on a busy machine. `make simulation` generates more examples.
settings.register_profile("default", deadline=None, max_examples=int(os.environ.get("GENERATED_EXAMPLES", "50")))
settings.load_profile("default")

pytest_plugins = ["tests.integration.secret_leaks.plugin"]

#: Coverage is measured in the tests of these folders only: it would slow the others down and add nothing.
_MEASURED = ("tests/unit/", "tests/contract/", "tests/architecture/")


def local_socket(address: object = ("127.0.0.1", 8000)) -> mock.Mock:
    """Stand in for a connection's socket in a server's environment, with an address or the error of reading it."""
    return mock.Mock(**{"getsockname.side_effect": itertools.repeat(address)})


def serve_locally(app: Flask) -> Flask:
    """Let a test client's requests arrive at a loopback address: without authentication nothing else is served."""
    wsgi_app = app.wsgi_app

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        environ.setdefault("gunicorn.socket", local_socket())
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
    """Enable loopback sockets for the tests that are marked with `loopback`; choose where coverage is measured.

    Tests that wait for processes begin in two of four workers, so that the other two use the processors meanwhile.
    """
    waiting = [item for item in items if item.nodeid.startswith("tests/integration/")]
    others = [item for item in items if not item.nodeid.startswith("tests/integration/")]
    half, quarter = len(waiting) // 2, len(items) // 4
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = [*waiting[:half], *others[: quarter - half], *waiting[half:], *others[quarter - half :]]
    for item in items:
        if not item.nodeid.startswith(_MEASURED) or item.nodeid.startswith("tests/unit/twins/"):
            item.add_marker(pytest.mark.no_cover)
        if item.get_closest_marker("loopback"):
            item.add_marker(pytest.mark.enable_socket)
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1"]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show the fact that a failed test proves, which is its docstring, below the values."""
    report = yield
    fact = inspect.getdoc(getattr(item, "obj", None))
    if report.failed and report.when == "call" and fact:
        report.sections.append(("not true any more", fact))
    return report


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
def known_modules(journal: Journal, clock: VirtualClock) -> KnownModules:
    return KnownModules(journal, clock)


@pytest.fixture
def provisioner(journal: Journal, clock: VirtualClock, known_modules: KnownModules) -> Provisioner:
    """A provisioner whose operation ids are op-1, op-2 and so on."""
    ids = itertools.count(1)
    return Provisioner(
        journal=journal,
        runtime=clock,
        new_id=lambda: f"op-{next(ids)}",
        worker_id="worker",
        known_modules=known_modules,
        backend_clocks=BackendClocks(clock),
    )


@pytest.fixture
def changes(journal: Journal, clock: VirtualClock) -> ChangeService:
    """A service whose change ids are change-1, change-2 and so on."""
    ids = itertools.count(1)
    return ChangeService(journal, clock, lambda: f"change-{next(ids)}")


@pytest.fixture
def change_feed(journal: Journal, clock: VirtualClock) -> ChangeFeed:
    return ChangeFeed(journal, clock, 90 * 86_400.0)


@pytest.fixture
def resolver(journal: Journal, clock: VirtualClock) -> ResolveService:
    """A service that has observed of each settle window what the journal says."""
    return ResolveService(journal, clock, lambda operation: operation.observed_seconds)


@pytest.fixture
def shared_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiles the routes once in a process, since that takes longer than all else in a service's creation."""

    def register(app: Flask) -> None:
        if not _first_app:
            register_blueprints(app)
            _first_app.append(app)
        app.url_map, app.view_functions = _first_app[0].url_map, _first_app[0].view_functions
        app.blueprints = _first_app[0].blueprints

    monkeypatch.setattr("gateway.api.application.register_blueprints", register)


@pytest.fixture
def build(
    clock: VirtualClock,
    provisioner: Provisioner,
    changes: ChangeService,
    change_feed: ChangeFeed,
    resolver: ResolveService,
    shared_routes: None,
) -> Callable[..., Flask]:
    """Return a function that builds the service over the backends passed to it; request ids are consecutive numbers."""
    ids = itertools.count(1)

    def build_service(
        backends: Mapping[str, Backend], auth: AuthConfig = NO_AUTH, limiter: RateLimiter | None = None, **others: Any
    ) -> Flask:
        dependencies = AppDependencies(
            backends=backends,
            provisioner=provisioner,
            changes=changes,
            change_feed=change_feed,
            resolver=resolver,
            render_metrics=lambda: Metrics(provisioner.journal.counts).render(),
            clock=clock,
            new_id=lambda: f"request-{next(ids)}",
            deadline_seconds=10.0,
            **{"authenticator": identity.create_authenticator(auth, clock, limiter=limiter), **others},
        )
        return serve_locally(create_api(dependencies))

    return build_service
