"""Runs the gateway inside this process on one thread, deterministically, to count calls.

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
from typing import Final
from unittest import mock

from werkzeug.test import EnvironBuilder

from gateway.api import WsgiApp
from gateway.app import SystemRuntime, create_app, load_settings
from gateway.provisioning.provisioner import Provisioner
from gateway.telemetry.logging_config import StderrHandler
from tests.performance import backend, servers
from tests.performance.messages import CREATE_CMDB, CREATE_PROJECTMAN, UNIQUE, Request, get, unique

#: The counted requests by name; the ids of the stub's projects and businesses are the numbers of their modules.
REQUESTS: Final[Mapping[str, Request]] = {
    "create on CMDB": CREATE_CMDB,
    "create on ProjectMan": CREATE_PROJECTMAN,
    "read on CMDB": get("/modules/cmdb.10.10.7"),
    "read on ProjectMan": get(f"/modules/projectman.{backend.project(10)}.7"),
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
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def prepare(self, name: str) -> Callable[[], None]:
        """Return a function that makes one request; it raises AssertionError unless the response is a 2xx."""
        request, number = REQUESTS[name], unique("", next(self._numbers))
        environ = EnvironBuilder(
            method=request.method,
            path=request.path,
            headers=[(key, value.replace(UNIQUE, number)) for key, value in request.headers.items()],
            data=request.body.replace(UNIQUE, number),
        ).get_environ()

        def call() -> None:
            statuses: list[str] = []
            parts = self.app(environ, lambda status, *_: statuses.append(status))  # type: ignore[arg-type]
            body = b"".join(parts)
            parts.close()  # type: ignore[attr-defined]
            assert statuses[0].startswith("2"), (statuses, body)
            assert json.loads(body)

        return call


@contextmanager
def run_gateway(folder: Path) -> Iterator[InProcessGateway]:
    """Run a gateway over a backend stub, with its journal in this folder and a log in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        servers.run_asyncio_backend(folder / "backend") as stub,
        _logging(),
        mock.patch("gateway.app.SystemRuntime", SingleThreadRuntime),
    ):
        service = create_app(load_settings(servers.configure_gateway(folder, stub.url)))
        yield InProcessGateway(service)
        service.extensions["provisioner"].journal.close()


@contextmanager
def _logging() -> Iterator[None]:
    """Format the gateway's log as in production and write it to memory only."""
    log = logging.getLogger("gateway")
    level = log.level
    log.setLevel(logging.INFO)
    with (
        mock.patch("gateway.telemetry.logging_config.configure"),
        mock.patch.multiple(log, handlers=[StderrHandler(stream=io.StringIO())], propagate=False),
    ):
        yield
    log.setLevel(level)
