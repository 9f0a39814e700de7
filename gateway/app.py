"""The composition root: the only module that knows every layer."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping

from gateway import identity
from gateway.api import AppDependencies, WsgiApp, create_api
from gateway.backends import discover
from gateway.domain.backend import BackendServices, RateLimiter
from gateway.domain.runtime import Clock, Event
from gateway.hotpath.crew import Crew
from gateway.hotpath.latch import Latch
from gateway.journals import check_url, create_journal
from gateway.provisioning.known_modules import KnownModules
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.reconciler import Reconciler
from gateway.resilience import RetryingBackend, create_rate_limiter
from gateway.settings import AuthConfig, ConfigurationError, Settings, load_toml, parse_settings
from gateway.telemetry import logging_config
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.redaction import Redactor, collect_secrets
from gateway.telemetry.request_log import RequestTelemetry
from gateway.telemetry.tracing import create_tracer
from gateway.transport import json_fetcher


class SystemClock:
    """The machine's own time."""

    now = staticmethod(time.time)  # seconds since the epoch
    monotonic = staticmethod(time.monotonic)  # seconds that never run backwards

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class SystemRuntime(SystemClock):
    """The machine's time and threads; under gevent's patches these are greenlets."""

    def __init__(self) -> None:
        self._crew = Crew()

    def spawn(self, work: Callable[[], None]) -> None:
        """Begin work that does not keep the process from ending: what it leaves behind, the journal knows."""
        self._crew.take(work)

    def event(self) -> Event:
        """Make a signal."""
        return Latch()


def _new_id() -> str:
    """Make an id that sorts by time (UUID version 7): rows made together lie together in an index."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = (milliseconds << 80) | (7 << 76) | ((random >> 62) << 64) | (0b10 << 62) | (random & ((1 << 62) - 1))
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def load_settings(environ: Mapping[str, str], path: str | None = None) -> Settings:
    """Read the file that GATEWAY_CONFIG names; raises ConfigurationError with every mistake at once."""
    where = path or environ.get("GATEWAY_CONFIG")
    if not where:
        raise ConfigurationError(["GATEWAY_CONFIG: must name the configuration file"])
    types = discover()
    readers = {name: type_.parse_options for name, type_ in types.items()}
    return parse_settings(load_toml(where), environ, readers, check_url)


def create_app(settings: Settings) -> WsgiApp:
    """Put the service together; nothing is sent anywhere yet."""
    redactor = Redactor(collect_secrets(settings))
    logging_config.configure(redactor)
    spans = create_tracer(os.environ)
    types, runtime = discover(), SystemRuntime()
    limiter = create_rate_limiter(settings.limits.storage.value, runtime)
    journal = create_journal(settings.journal_url.value)
    metrics = Metrics(journal.counts, journal.next_due, backends=[each.name for each in settings.backends])
    services = BackendServices(metrics=metrics, limiter=limiter, tracer=spans, secrets=redactor)
    backends = {
        each.name: RetryingBackend(types[each.type].create_backend(each.name, each.options, runtime, services), runtime)
        for each in settings.backends
    }
    worker_id = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    known_modules = KnownModules(journal, runtime)
    reconciler = Reconciler(
        journal=journal,
        runtime=runtime,
        backends=backends,
        worker_id=worker_id,
        known_modules=known_modules,
        on_lookup=metrics.look,
    )
    provisioner = Provisioner(
        journal=journal,
        runtime=runtime,
        new_id=_new_id,
        worker_id=worker_id,
        known_modules=known_modules,
        reconcile_now=reconciler.reconcile_now,
    )
    runtime.spawn(reconciler.run)
    runtime.spawn(lambda: metrics.run(runtime.sleep))
    return create_api(
        AppDependencies(
            backends=backends,
            provisioner=provisioner,
            metrics=metrics.render,
            witness=RequestTelemetry(metrics, spans, redactor),
            clock=runtime,
            new_id=_new_id,
            deadline_seconds=settings.deadline_seconds,
            identifier=_identifier(settings.auth, runtime, limiter),
            cors=settings.cors,
        )
    )


def _identifier(auth: AuthConfig, clock: Clock, limiter: RateLimiter) -> identity.Authenticator:
    issuer = auth.issuer
    fetch = None if issuer is None else json_fetcher(issuer.jwks_url, issuer.ca_file or None, clock)
    return identity.create_authenticator(auth, clock, fetch, limiter)


def load_settings_or_exit(environ: Mapping[str, str]) -> Settings:
    """Read the configuration for a server: where it is wrong, say so line by line and end the process for good.

    3 is the exit status at which gunicorn stops instead of starting the worker again.
    """
    try:
        return load_settings(environ)
    except ConfigurationError as error:
        for line in error.mistakes:
            print(f"configuration: {line}", file=sys.stderr)
        sys.exit(3)
