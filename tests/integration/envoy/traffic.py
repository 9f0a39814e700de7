"""Callers who create and read through the mesh for as long as a test wants, and count every answer."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Final

from tests.integration.chaos.caller import Wanted
from tests.integration.chaos.http import BROKEN
from tests.integration.envoy.asking import exchange
from tests.integration.envoy.stand import Mesh

_READ: Final = "/modules?backend=cmdb&scope=1&page_size=5"
#: A project holds a few hundred modules; what is beyond goes to CMDB.
_PROJECT_HOLDS: Final = 300


class Traffic:
    """What all callers together did and were told."""

    def __init__(self, mesh: Mesh, way: str) -> None:
        self.answers: Counter[str] = Counter()
        self.made: list[tuple[str, str]] = []  # backend and name of every module that a caller was told of
        self._address = mesh.at(way)
        self._over = threading.Event()
        self._numbers = itertools.count(1)

    @property
    def failed(self) -> dict[str, int]:
        """Return the answers that were not what was asked for, counted."""
        return {what: count for what, count in self.answers.items() if what not in {"POST 201", "GET 200"}}

    @contextmanager
    def flowing(self, callers: int) -> Iterator[None]:
        """Let so many callers ask, each over one connection that he keeps."""
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _ask(self, caller: int) -> None:
        with closing(HTTPConnection(self._address, timeout=30)) as connection:
            while not self._over.is_set():
                try:
                    if caller % 3 == 2:
                        self._count("GET", exchange(connection, "GET", _READ).status)
                    else:
                        self._create(connection)
                except BROKEN as error:
                    self._count("connection", type(error).__name__)
                    connection.close()
                self._over.wait(0.02)

    def _create(self, connection: HTTPConnection) -> None:
        number = next(self._numbers)
        backend = "projectman" if number % 2 and number < 2 * _PROJECT_HOLDS else "cmdb"
        wanted = Wanted(backend, f"rolling-{number}")
        answer = exchange(connection, "POST", "/modules", wanted.body)
        said = "" if answer.status == 201 else f" {answer.code or answer.body}"
        self._count("POST", f"{answer.status}{said}")
        if answer.status == 201:
            self.made.append((backend, wanted.name))

    def _count(self, method: str, what: object) -> None:
        self.answers[f"{method} {what}"] += 1
