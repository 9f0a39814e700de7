"""The lives of modules as callers lead them: created in some way, read, changed, deleted, and never left behind."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection
from typing import Any, Final

from tests.integration.chaos.http import BROKEN
from tests.integration.chaos.stand import PLACES
from tests.integration.soak.told import Told

_numbers: Final = itertools.count(1)
_TRIES: Final = 40
_WAYS: Final = ("key", "key", "request-id", "request-id", "async", "hang-up", "hang-up-half-way")
_CHINESE: Final = {"Accept-Language": "zh-CN,zh;q=0.9"}
#: Headers and body, each wrong in one way.
_MALFORMED: Final[tuple[tuple[Mapping[str, str], bytes], ...]] = (
    ({}, b"{"),
    (_CHINESE, b'{"backend": "cmdb", "backend": "cmdb"}'),
    (_CHINESE, b'{"backend": "nowhere", "name": "x"}'),
    ({}, b'{"backend": "cmdb", "scope": "1", "parent": "10", "name": "", "owners": ["admin"], "more": 1}'),
    ({}, b"x" * 70_000),
    ({"Content-Type": "text/plain"}, b"hello"),
    ({"Accept": "image/png"}, b"{}"),
)


class Lives:
    """One caller's modules, one after the other."""

    def __init__(self, told: Told, seed: int) -> None:
        self.made: list[tuple[str, str]] = []  # backend and native id of every module that he was given
        self.unanswered: list[str] = []  # names of creates that never came to an end
        self._told = told
        self._random = random.Random(seed)  # noqa: S311 - a history that can be repeated

    def lead(self, over: threading.Event) -> None:
        """Lead lives until it is over; the last one is led to its end."""
        while not over.is_set():
            backend = self._random.choice(list(PLACES))
            self._look_around(backend)
            if module := self._create(backend):
                self._use(f"/modules/{module}", backend)

    def _look_around(self, backend: str) -> None:
        place = PLACES[backend]
        self._told.ask("list", "GET", f"/modules?backend={backend}&scope={place['scope']}&page_size=20")
        if self._random.random() < 0.3:
            headers, body = self._random.choice(_MALFORMED)
            self._told.ask("malformed", "POST", "/modules", body, headers)

    def _create(self, backend: str) -> str | None:
        """Create in one of the ways, again until there is an answer that stays; return the module's id."""
        name, way = f"soak-{next(_numbers)}", self._random.choice(_WAYS)
        body = {"backend": backend, "name": name, **PLACES[backend]}
        headers = {"X-Request-Id" if way == "request-id" else "Idempotency-Key": name, **_CHINESE}
        if way.startswith("hang-up"):
            self._hang_up(body, headers, half_way=way.endswith("half-way"))
        elif way == "async":
            self._told.ask("create", "POST", "/modules", body, {**headers, "Prefer": "respond-async"})
        for _ in range(_TRIES):
            answer = self._told.ask("create", "POST", "/modules", body, headers)
            if answer.status == 201:
                self.made.append((backend, str(answer.body["native_id"])))
                return str(answer.body["id"])
            if not answer.body.get("retryable", answer.status == 0):
                return None
            if operation := answer.body.get("instance"):
                self._told.ask("follow", "GET", operation)
        self.unanswered.append(name)
        return None

    def _use(self, path: str, backend: str) -> None:
        """Read, change and delete; a module that was renamed keeps its id."""
        self._told.ask("read", "GET", path, headers=_CHINESE)
        change = {"name": f"soaked-{next(_numbers)}"}
        if backend == "projectman":  # which cannot tell what the description was
            change["description"] = "soaked"
        self._told.ask("patch", "PATCH", path, change)
        for _ in range(_TRIES):
            if self._told.ask("delete", "DELETE", path).status in {204, 404}:
                return

    def _hang_up(self, body: Mapping[str, Any], headers: Mapping[str, str], *, half_way: bool) -> None:
        """Send a request, or half of it, and close the connection without waiting for an answer."""
        content = json.dumps(body).encode()
        with suppress(*BROKEN), closing(HTTPConnection(self._told.address, timeout=15)) as connection:
            connection.putrequest("POST", "/modules")
            told = {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
            for name, value in told.items():
                connection.putheader(name, value)
            connection.endheaders(content[: len(content) // 2] if half_way else content)
