"""Callers that create modules in several ways, read, change and delete them."""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection
from typing import Any, Final

from tests.integration.chaos.testbed import TARGETS
from tests.integration.http_client import CONNECTION_ERRORS
from tests.integration.soak.response_checks import CheckedClient

_numbers: Final = itertools.count(1)
_MAX_ATTEMPTS: Final = 40
_CREATE_MODES: Final = ("key", "key", "request-id", "request-id", "async", "disconnect", "disconnect-mid-body")
_CHINESE: Final = {"Accept-Language": "zh-CN,zh;q=0.9"}
#: Headers and bodies with one error each.
_MALFORMED: Final[tuple[tuple[Mapping[str, str], bytes], ...]] = (
    ({}, b"{"),
    (_CHINESE, b'{"backend": "cmdb", "backend": "cmdb"}'),
    (_CHINESE, b'{"backend": "nowhere", "name": "x"}'),
    ({}, b'{"backend": "cmdb", "scope": "1", "parent": "10", "name": "", "owners": ["admin"], "more": 1}'),
    ({}, b"x" * 70_000),
    ({"Content-Type": "text/plain"}, b"hello"),
    ({"Accept": "image/png"}, b"{}"),
)


class ModuleLifecycle:
    """The modules of one caller, one after the other."""

    def __init__(self, client: CheckedClient, seed: int) -> None:
        self.created: list[tuple[str, str]] = []  # backend and native id of every module in a 201
        self.unanswered: list[str] = []  # names of creates without a final response
        self._client = client
        self._random = random.Random(seed)  # noqa: S311 - a reproducible sequence

    def run(self, stopped: threading.Event) -> None:
        """Run lifecycles until stopped; the last one is completed."""
        while not stopped.is_set():
            backend = self._random.choice(list(TARGETS))
            self._list(backend)
            if module := self._create(backend):
                self._use(f"/modules/{module}", backend)

    def _list(self, backend: str) -> None:
        scope = TARGETS[backend]["scope"]
        self._client.send("list", "GET", f"/modules?backend={backend}&scope={scope}&page_size=20")
        if self._random.random() < 0.3:
            headers, body = self._random.choice(_MALFORMED)
            self._client.send("malformed", "POST", "/modules", body, headers)

    def _create(self, backend: str) -> str | None:
        """Create a module in a random mode, repeat until the response is final, and return the module's id."""
        name, mode = f"soak-{next(_numbers)}", self._random.choice(_CREATE_MODES)
        body = {"backend": backend, "name": name, **TARGETS[backend]}
        headers = {"X-Request-Id" if mode == "request-id" else "Idempotency-Key": name, **_CHINESE}
        if mode.startswith("disconnect"):
            self._disconnect(body, headers, mid_body=mode.endswith("mid-body"))
        elif mode == "async":
            self._client.send("create", "POST", "/modules", body, {**headers, "Prefer": "respond-async"})
        for _ in range(_MAX_ATTEMPTS):
            response = self._client.send("create", "POST", "/modules", body, headers)
            if response.status == 201:
                self.created.append((backend, str(response.body["native_id"])))
                return str(response.body["id"])
            if not response.body.get("retryable", response.status == 0):
                return None
            if operation := response.body.get("instance"):
                self._client.send("follow", "GET", operation)
        self.unanswered.append(name)
        return None

    def _use(self, path: str, backend: str) -> None:
        """Read, rename and delete a module."""
        self._client.send("read", "GET", path, headers=_CHINESE)
        patch = {"name": f"soaked-{next(_numbers)}"}
        if backend == "projectman":  # its description cannot be read back, so a patch must have one
            patch["description"] = "soaked"
        self._client.send("patch", "PATCH", path, patch)
        for _ in range(_MAX_ATTEMPTS):
            if self._client.send("delete", "DELETE", path).status in {204, 404}:
                return

    def _disconnect(self, body: Mapping[str, Any], headers: Mapping[str, str], *, mid_body: bool) -> None:
        """Send a request, or half of its body, and close the connection without reading the response."""
        content = json.dumps(body).encode()
        with suppress(*CONNECTION_ERRORS), closing(HTTPConnection(self._client.address, timeout=15)) as connection:
            connection.putrequest("POST", "/modules")
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **headers,
            }.items():
                connection.putheader(name, value)
            connection.endheaders(content[: len(content) // 2] if mid_body else content)
