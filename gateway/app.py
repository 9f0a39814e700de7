"""The composition root: the only module that knows every layer."""

from __future__ import annotations

import os
import pickle
import secrets
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from gateway import identity
from gateway.api import AppDependencies, WsgiApp, create_api
from gateway.backends import discover
from gateway.domain.backend import NO_SERVICES, BackendServices, RateLimiter
from gateway.domain.module import Module
from gateway.domain.runtime import Clock, Event
from gateway.journals import NativeThreads, check_url, create_journal
from gateway.provisioning.change_feed import ChangeFeed
from gateway.provisioning.change_reconciler import ChangeReconciler
from gateway.provisioning.journal_health import JournalHealth
from gateway.provisioning.known_modules import BackendClocks, KnownModules
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.reconciler import Reconciler
from gateway.provisioning.resolve import ResolveService
from gateway.provisioning.update_delete import ChangeService
from gateway.resilience import RetryingBackend, create_rate_limiter
from gateway.settings import AuthConfig, ConfigurationError, JwtConfig, Settings, load_toml, parse_settings
from gateway.telemetry import logging_config
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.redaction import Redactor, find_secrets
from gateway.telemetry.request_log import RequestTelemetry
from gateway.telemetry.shared_memory import SETTINGS_VARIABLE, SharedMemory
from gateway.telemetry.tracing import create_tracer
from gateway.transport import create_json_fetcher


class SystemClock:
    """The system's own time; implements Clock."""

    now = staticmethod(time.time)  # seconds since the epoch
    monotonic = staticmethod(time.monotonic)  # seconds on a clock that never steps

    def sleep(self, seconds: float) -> None:
        """Suspend the calling thread."""
        time.sleep(seconds)  # looked up at the call, because gevent replaces it


class SystemRuntime(SystemClock):
    """The system's own time and threads, which are greenlets under gevent; implements Runtime."""

    def spawn(self, work: Callable[[], None]) -> None:
        """Run `work` in a daemon thread, which does not keep the process alive."""
        threading.Thread(target=work, daemon=True).start()

    def event(self) -> Event:
        """Create an event."""
        return threading.Event()


class GeventNativeThreads(NativeThreads):
    """Threads of the operating system in a process in which gevent has replaced Python's own by greenlets.

    Half the cost of gevent's thread pool, which makes a watcher of the event loop for each piece of work.
    """

    def __init__(self) -> None:
        from gevent import get_hub, monkey  # noqa: PLC0415 - loaded by the server only

        self._loop = get_hub().loop
        self._start_new_thread = monkey.get_original("_thread", "start_new_thread")
        self.create_queue = monkey.get_original("queue", "SimpleQueue")
        self.sleep = monkey.get_original("time", "sleep")

    def start(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread."""
        self._start_new_thread(work, ())

    def create_notifier(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Return a function that makes the event loop call `callback`; libev may call it once for several calls."""
        watcher = self._loop.async_()
        watcher.start(callback)
        notify: Callable[[], None] = watcher.send
        return notify


def _native_threads() -> NativeThreads:
    monkey = sys.modules.get("gevent.monkey")
    return GeventNativeThreads() if monkey and monkey.is_module_patched("threading") else NativeThreads()


def _uuid7() -> str:
    """Return a UUID of version 7: ids made together are adjacent in an index, because they start with the time."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    # RFC 9562, 5.7: 48 bits of milliseconds, the version 7, 12 random bits, the variant 0b10, 62 random bits.
    value = (milliseconds << 80) | (7 << 76) | ((random >> 62) << 64) | (0b10 << 62) | (random & ((1 << 62) - 1))
    return str(uuid.UUID(int=value))


def load_settings(environ: Mapping[str, str], path: str | None = None) -> Settings:
    """Read the configuration file, by default the one that GATEWAY_CONFIG names.

    Raises ConfigurationError with every error of the file.
    """
    config_path = path or environ.get("GATEWAY_CONFIG")
    if not config_path:
        raise ConfigurationError(["GATEWAY_CONFIG: must name the configuration file"])
    option_schemas = {name: backend_type.OptionsSchema for name, backend_type in discover().items()}
    return parse_settings(load_toml(config_path), environ, option_schemas, check_url)


def create_app(settings: Settings) -> WsgiApp:
    """Configure logging, build the service and start its background threads.

    No backend is contacted before a thread runs: the reconciler may look up creates left over from earlier.
    """
    redactor = Redactor()
    for secret in find_secrets(settings):
        redactor.follow(secret)
    logging_config.configure(redactor)
    tracer = create_tracer(os.environ)
    runtime = SystemRuntime()
    limiter = create_rate_limiter(settings.limits.storage, runtime)
    journal = create_journal(settings.journal_url, _native_threads())
    metrics = Metrics(
        journal.unsettled_counts,
        journal.next_due,
        backends=[backend.name for backend in settings.backends],
        sleep=runtime.sleep,
    )
    journal.on_ended = metrics.record_ended
    services = BackendServices(metrics=metrics, limiter=limiter, tracer=tracer, secrets=redactor)
    known_modules = KnownModules(journal, runtime)
    backends = create_backends(settings, runtime, services, known_modules.record)
    worker_id = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    reconciler = Reconciler(
        journal=journal,
        runtime=runtime,
        backends=backends,
        worker_id=worker_id,
        on_lookup=metrics.record_lookup,
        on_journal=(health := JournalHealth()).record,
    )
    provisioner = Provisioner(
        journal=journal,
        runtime=runtime,
        new_id=_uuid7,
        worker_id=worker_id,
        known_modules=known_modules,
        backend_clocks=BackendClocks(runtime),
        reconcile_now=reconciler.reconcile_now,
    )
    change_feed = ChangeFeed(
        journal=journal,
        runtime=runtime,
        retention_seconds=settings.changes_days * 86_400.0,
        is_draining=lambda: provisioner.draining,
    )
    runtime.spawn(reconciler.run)
    runtime.spawn(ChangeReconciler(journal, runtime, backends).run)
    runtime.spawn(change_feed.run)
    runtime.spawn(lambda: metrics.run(runtime.sleep))
    app = create_api(
        AppDependencies(
            backends=backends,
            provisioner=provisioner,
            changes=ChangeService(journal, runtime, _uuid7, reconciler.settle_before_change),
            change_feed=change_feed,
            resolver=ResolveService(journal, runtime, reconciler.observed_seconds),
            render_metrics=metrics.render,
            journal_error=lambda: health.error,
            telemetry=RequestTelemetry(metrics, tracer, redactor),
            clock=runtime,
            new_id=_uuid7,
            deadline_seconds=settings.deadline_seconds,
            authenticator=_create_authenticator(settings.auth, runtime, limiter),
            cors=settings.cors,
            trusted_proxies=identity.TrustedProxies(settings.trusted_proxies),
        )
    )
    app.extensions["share_metrics"] = metrics.share  # the server calls it with the memory that its workers share
    app.extensions.update(start_extensions(settings))
    return app


def start_extensions(settings: Settings) -> dict[str, Any]:
    """Return what the server needs to check its sockets and workers, to log its start, and to store the settings."""
    return {
        "loopback_only": not settings.auth.required,
        "check_workers": lambda number: check_url(settings.journal_url.value, processes=number),
        "start_fields": _start_fields(settings),
        "start_warnings": settings.warnings,
        "store_settings": lambda memory: store_settings(memory, settings),
    }


def store_settings(memory: SharedMemory, settings: Settings) -> None:
    """Store a valid configuration for the workers that start later; the memory ends with the server's processes."""
    memory.publish(0, pickle.dumps(settings))


def create_backends(
    settings: Settings,
    clock: Clock,
    services: BackendServices = NO_SERVICES,
    record_seen: Callable[[Iterable[Module]], None] = lambda _modules: None,
) -> dict[str, RetryingBackend]:
    """Return the backend of each configured connection, by the connection's name."""
    backend_types = discover()
    return {
        config.name: RetryingBackend(
            backend_types[config.type].create_backend(config.name, config.options, clock, services),
            clock,
            record_seen=record_seen,
            mode=config.mode,
            read_only_retry_after=config.retry_after_seconds,
        )
        for config in settings.backends
    }


def _create_authenticator(auth: AuthConfig, clock: Clock, limiter: RateLimiter) -> identity.Authenticator:
    def create_fetcher(issuer: JwtConfig) -> Callable[[], Any]:
        return create_json_fetcher(issuer.jwks_url, issuer.ca_file or None, clock)

    return identity.create_authenticator(auth, clock, create_fetcher, limiter)


def describe_journal(settings: Settings) -> str:
    """Return the kind and the place of the journal, without its password."""
    url = settings.journal_url.value
    if url.startswith("sqlite:"):
        return f"SQLite at {url.removeprefix('sqlite:///')}"
    return f"PostgreSQL at {urlsplit(url).hostname or 'the local socket'}"


def _start_fields(settings: Settings) -> dict[str, Any]:
    """Return the version, the connections and the journal for the log line at start."""
    return {
        "version": version("module-gateway"),
        "connections": [backend.name for backend in settings.backends],
        "journal": describe_journal(settings),
    }


def load_settings_or_exit(environ: Mapping[str, str]) -> Settings:
    """Return the last valid configuration that the server has stored, or else read it for a server that starts.

    A change of the file becomes effective by SIGHUP, which validates it first. If the configuration is invalid, print
    one line per error and exit with the status 3, which makes gunicorn stop instead of starting the worker again
    (`Arbiter.WORKER_BOOT_ERROR`).
    """
    if (descriptor := environ.get(SETTINGS_VARIABLE)) is not None:
        stored = SharedMemory(int(descriptor)).read(0)
        if stored is not None:
            settings: Settings = pickle.loads(stored.content)  # noqa: S301 - written by a process of this server
            return settings
    try:
        return load_settings(environ)
    except ConfigurationError as error:
        for line in error.errors:
            print(f"configuration: {line}", file=sys.stderr)
        sys.exit(3)
