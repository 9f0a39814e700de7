"""The gateway inside this process, one thread, nothing left to chance: for counting and profiling what a request does.

Sockets, journal and log are real. What runs beside a request in production runs inside it here, in the same order.
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
from tests.performance.wrk import Shot

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

#: What is counted, by name; the projects and businesses of the stand-in hold as many modules as their ids say.
SHOTS: Final[Mapping[str, Shot]] = {
    "create on CMDB": table.create(CMDB_DRAFT),
    "create on ProjectMan": table.create(PROJECTMAN_DRAFT),
    "read on CMDB": table.get("/modules/cmdb.10.10.7"),
    "read on ProjectMan": table.get(f"/modules/projectman.{backend.project(10)}.7"),
}


class OneThread(SystemRuntime):
    """The machine's time; work beside the caller's own is done at once, and what never ends is left out."""

    def spawn(self, work: Callable[[], None]) -> None:
        """Do it where a create is sent; the reconciler and the figures go on for ever, beside all requests."""
        if work.__qualname__.startswith(Provisioner.__name__):
            work()


@dataclass
class Stage:
    """A service to send requests to."""

    app: WsgiApp
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(10_000))  # all of one length

    def prepare(self, name: str) -> Callable[[], bytes]:
        """Return one request, ready to be made; it raises AssertionError where it is not answered with success."""
        shot, number = SHOTS[name], str(next(self._numbers))
        environ = EnvironBuilder(
            method=shot.method,
            path=shot.path,
            headers=[(key, value.replace(UNIQUE, number)) for key, value in shot.headers.items()],
            data=shot.body.replace(UNIQUE, number),
        ).get_environ()
        return lambda: _answer(self.app, environ)


@contextmanager
def opened(folder: Path) -> Iterator[Stage]:
    """Put the service together over a stand-in, with a journal in this folder, and a log that is written to memory."""
    with backend.in_thread() as url, _logging(), mock.patch("gateway.app.SystemRuntime", OneThread):
        environ = configuration.write(folder / "gateway", url)
        service = create_app(load_settings(environ))
        yield Stage(service)
        service.extensions["provisioner"].journal.close()


def _answer(app: WsgiApp, environ: WSGIEnvironment) -> bytes:
    told: list[str] = []

    def start(status: str, headers: Any, error: Any = None) -> Any:
        told.append(status)

    parts = app(environ, start)
    body = b"".join(parts)
    getattr(parts, "close", lambda: None)()
    assert told[0][0] == "2", (told, body)
    assert json.loads(body)
    return body


@contextmanager
def _logging() -> Iterator[None]:
    """Write the gateway's log as production does, to a file in memory, and to nobody else."""
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
