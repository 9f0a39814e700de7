"""Runs the gateway inside this process on one thread, deterministically, to count and profile calls.

Sockets, journal and log are real. Background work of a request runs inside the request, in the same order.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from werkzeug.test import EnvironBuilder

from gateway.api import WsgiApp
from gateway.app import SystemRuntime, create_app, load_settings
from gateway.provisioning.provisioner import Provisioner
from gateway.telemetry.logging_config import StderrHandler
from tests.performance import backend, configuration, table
from tests.performance.bodies import CMDB_DRAFT, PROJECTMAN_DRAFT, UNIQUE
from tests.performance.wrk import RequestSpec

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: The counted requests by name; the ids of the stub's projects and businesses are the numbers of their modules.
REQUESTS: Final[Mapping[str, RequestSpec]] = {
    "create on CMDB": table.create(CMDB_DRAFT),
    "create on ProjectMan": table.create(PROJECTMAN_DRAFT),
    "read on CMDB": table.get("/modules/cmdb.10.10.7"),
    "read on ProjectMan": table.get(f"/modules/projectman.{backend.project(10)}.7"),
}


class SingleThreadRuntime(SystemRuntime):
    """The system clock; background work of a request runs at once, endless background work is left out."""

    def spawn(self, work: Callable[[], None]) -> None:
        """Run the work of a create; skip the reconciler and the metrics, which run beside all requests."""
        if work.__qualname__.startswith(Provisioner.__name__):
            work()


@dataclass
class InProcessGateway:
    """A gateway that takes requests as function calls."""

    app: WsgiApp
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(10_000))  # all of equal length

    def prepare(self, name: str) -> Callable[[], bytes]:
        """Return a function that makes one request; it raises AssertionError unless the response is a 2xx."""
        spec, number = REQUESTS[name], str(next(self._numbers))
        environ = EnvironBuilder(
            method=spec.method,
            path=spec.path,
            headers=[(key, value.replace(UNIQUE, number)) for key, value in spec.headers.items()],
            data=spec.body.replace(UNIQUE, number),
        ).get_environ()
        return lambda: _call(self.app, environ)


@contextmanager
def run_gateway(folder: Path) -> Iterator[InProcessGateway]:
    """Run a gateway over a backend stub, with a journal in this folder and a log in memory."""
    with backend.in_thread() as url, _logging(), mock.patch("gateway.app.SystemRuntime", SingleThreadRuntime):
        environ = configuration.write(folder / "gateway", url)
        service = create_app(load_settings(environ))
        yield InProcessGateway(service)
        service.extensions["provisioner"].journal.close()


def _call(app: WsgiApp, environ: WSGIEnvironment) -> bytes:
    statuses: list[str] = []

    def start_response(status: str, headers: Any, error: Any = None) -> Any:
        statuses.append(status)

    parts = app(environ, start_response)
    body = b"".join(parts)
    getattr(parts, "close", lambda: None)()
    assert statuses[0][0] == "2", (statuses, body)
    assert json.loads(body)
    return body


@contextmanager
def _logging() -> Iterator[None]:
    """Format the gateway's log as in production and write it to memory only."""
    log = logging.getLogger("gateway")
    before = (log.handlers, log.level, log.propagate)
    log.handlers, log.propagate = [StderrHandler(stream=io.StringIO())], False
    log.setLevel(logging.INFO)
    try:
        with mock.patch("gateway.telemetry.logging_config.configure"):
            yield
    finally:
        log.handlers, log.propagate = before[0], before[2]
        log.setLevel(before[1])
