"""Callers that create and read through the mesh concurrently and count the responses."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Final

from tests.integration.chaos.caller import CreateSpec
from tests.integration.envoy.mesh import Mesh
from tests.integration.http_client import CONNECTION_ERRORS, exchange

_READ: Final = "/modules?backend=cmdb&scope=1&page_size=5"
#: A project holds a few hundred modules; further creates go to CMDB.
_MAX_PROJECT_MODULES: Final = 300


class Traffic:
    """The requests and responses of all callers."""

    def __init__(self, mesh: Mesh, route: str) -> None:
        self.responses: Counter[str] = Counter()
        self.created: list[tuple[str, str]] = []  # backend and name of every module in a 201
        self._address = mesh.address(route)
        self._stopped = threading.Event()
        self._numbers = itertools.count(1)

    @property
    def failures(self) -> dict[str, int]:
        """Return the unsuccessful responses and connection errors, counted."""
        return {key: count for key, count in self.responses.items() if key not in {"POST 201", "GET 200"}}

    @contextmanager
    def run(self, callers: int) -> Iterator[None]:
        """Run this number of callers, each on one keep-alive connection, during a with block."""
        threads = [threading.Thread(target=self._send_until_stopped, args=(number,)) for number in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _send_until_stopped(self, caller: int) -> None:
        with closing(HTTPConnection(self._address, timeout=30)) as connection:
            while not self._stopped.is_set():
                try:
                    if caller % 3 == 2:
                        self._count("GET", exchange(connection, "GET", _READ).status)
                    else:
                        self._create(connection)
                except CONNECTION_ERRORS as error:
                    self._count("connection", type(error).__name__)
                    connection.close()
                self._stopped.wait(0.02)

    def _create(self, connection: HTTPConnection) -> None:
        number = next(self._numbers)
        backend = "projectman" if number % 2 and number < 2 * _MAX_PROJECT_MODULES else "cmdb"
        spec = CreateSpec(backend, f"rolling-{number}")
        response = exchange(connection, "POST", "/modules", spec.body)
        detail = "" if response.status == 201 else f" {response.code or response.body}"
        self._count("POST", f"{response.status}{detail}")
        if response.status == 201:
            self.created.append((backend, spec.name))

    def _count(self, method: str, result: object) -> None:
        self.responses[f"{method} {result}"] += 1
