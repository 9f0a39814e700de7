"""The state that hooks, views and error handlers share: of the application and of the current request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from flask import current_app, g

from gateway.domain.backend import Backend, CallContext
from gateway.domain.callers import ANONYMOUS, Caller
from gateway.domain.errors import JournalUnavailable, Outcome
from gateway.domain.runtime import Clock
from gateway.identity import Authenticator, TrustedProxies
from gateway.provisioning.change_feed import ChangeFeed
from gateway.provisioning.provisioner import Provisioner
from gateway.provisioning.resolve import ResolveService
from gateway.provisioning.update_delete import ChangeService
from gateway.settings import CorsConfig
from gateway.telemetry.request_log import RequestSpan, RequestTelemetry

#: The key of AppDependencies in `Flask.extensions`.
EXTENSION_KEY = "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDependencies:
    """The objects and settings that hooks and views use."""

    backends: Mapping[str, Backend]
    provisioner: Provisioner
    changes: ChangeService
    change_feed: ChangeFeed
    resolver: ResolveService
    render_metrics: Callable[[], bytes]
    #: Returns why the journal does not answer, or None.
    journal_error: Callable[[], JournalUnavailable | None] = lambda: None
    clock: Clock
    new_id: Callable[[], str]
    deadline_seconds: float
    authenticator: Authenticator
    cors: CorsConfig = field(default_factory=CorsConfig)
    trusted_proxies: TrustedProxies = field(default_factory=lambda: TrustedProxies(()))
    telemetry: RequestTelemetry = field(default_factory=RequestTelemetry)


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """What is known about the current request, for its response and its line in the access log."""

    started_at: float  # on Clock.monotonic()
    call: CallContext
    span: RequestSpan
    mount_point: str = ""  # the path, as callers see it, under which the service is mounted
    caller: Caller = ANONYMOUS
    user: str | None = None  # on whose behalf the backend acts
    backend: str | None = None
    operation: str | None = None  # its id
    outcome: Outcome | None = None  # None unless the request is a write
    replayed: bool = False
    problem_code: str | None = None
    language: str | None = None  # None unless the response depends on Accept-Language
    module: str | None = None  # its id
    values: dict[str, object] = field(default_factory=dict)  # of the request, for the details of errors, by name


def dependencies() -> AppDependencies:
    """Return the dependencies of the current application."""
    return cast("AppDependencies", current_app.extensions[EXTENSION_KEY])


def request_context() -> RequestContext:
    """Return the state of the current request, which `middleware` stores on `flask.g`."""
    return cast("RequestContext", g.request_context)
