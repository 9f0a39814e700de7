"""Callers that create, read, change and delete modules, and faults in the backends meanwhile."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection
from typing import Any, Final

from tests.integration.chaos.testbed import TARGETS, GatewayTestbed
from tests.integration.http_client import CONNECTION_ERRORS, HttpResponse, send

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
_FAILURES: Final = frozenset({429, 502, 503, 504})
#: The statuses of each kind of request while backends fail; any other is a defect of the gateway.
_EXPECTED: Final[Mapping[str, frozenset[int]]] = {
    "create": frozenset({201, 202, 409}) | _FAILURES,
    "read": frozenset({200}) | _FAILURES,
    "list": frozenset({200}) | _FAILURES,
    "patch": frozenset({200, 409}) | _FAILURES,  # 409: an earlier change of the module has no known outcome yet
    "delete": frozenset({204, 404, 409}) | _FAILURES,
    "follow": frozenset({200, 503}),
    "malformed": frozenset({400, 406, 413, 415, 422}),
}
_COMMON_FAULTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"fault": "delay", "seconds": 0.5},
    {"fault": "delay", "seconds": 2.5},  # longer than the hard timeout
    {"fault": "delay", "seconds": 2.5, "when": "after", "operation": "create"},
    {"fault": "drop", "effect": "now", "operation": "create"},
    {"fault": "drop", "effect": "never"},
    {"fault": "drop", "effect": "late", "seconds": 1.0, "operation": "create"},
    {"fault": "reset"},
    {"fault": "reset", "byte": 40},
    {"fault": "html"},
    {"fault": "status", "status": 503},
    {"fault": "status", "status": 500, "body": "json"},
    {"fault": "redirect"},
    {"fault": "truncate"},
    {"fault": "drip", "bytes": 50, "seconds": 0.05},
    {"fault": "rate-limited"},
    {"fault": "gateway-rate-limited"},
)
_FAULTS: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    "cmdb": (
        *_COMMON_FAULTS,
        {"fault": "proxy-timeout"},
        {"fault": "commit-failed", "effect": "now", "operation": "create"},
        {"fault": "commit-failed"},
    ),
    "projectman": (
        *_COMMON_FAULTS,
        {"fault": "gateway-timeout"},
        {"fault": "gateway-timeout", "effect": "now", "operation": "create"},
        {"fault": "busy"},
    ),
}


class Traffic:
    """The traffic of all callers together, and what it led to."""

    def __init__(self, testbed: GatewayTestbed) -> None:
        self.rate = 0.0  # requests per second at most; 0 is no limit
        self.requests = 0
        self.responses: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        self.created: set[tuple[str, str]] = set()  # backend and native id of every module in a 201
        self.unanswered: list[str] = []  # names of creates without a final response
        self.faults: Counter[str] = Counter()
        self._testbed = testbed
        self._next = 0.0
        self._lock = threading.Lock()

    def inject_faults(self, seed: int, interval: float, stopped: threading.Event) -> None:
        """Inject a fault into the next matching request every `interval` seconds, until stopped; then remove all."""
        choice = random.Random(seed).choice  # noqa: S311 - a reproducible sequence
        while not stopped.wait(interval):
            backend = choice(list(_FAULTS))
            fault = choice(_FAULTS[backend])
            self._testbed.twin(backend, "POST", "faults", fault)
            self.faults[f"{backend} {fault['fault']}"] += 1
        for backend in _FAULTS:
            self._testbed.twin(backend, "DELETE", "faults")

    def run_caller(self, seed: int, stopped: threading.Event) -> None:
        """Create, use and delete one module after the other until stopped; the last one is completed."""
        chance = random.Random(seed)  # noqa: S311 - a reproducible sequence
        while not stopped.is_set():
            backend = chance.choice(list(TARGETS))
            self._send("list", "GET", f"/modules?backend={backend}&scope={TARGETS[backend]['scope']}&page_size=20")
            if chance.random() < 0.3:
                headers, body = chance.choice(_MALFORMED)
                self._send("malformed", "POST", "/modules", body, headers)
            if module := self._create(backend, chance.choice(_CREATE_MODES)):
                self._use(f"/modules/{module}", backend)

    def _create(self, backend: str, mode: str) -> str | None:
        """Create a module, repeat until the response is final, and return the module's id."""
        name = f"soak-{next(_numbers)}"
        body = {"backend": backend, "name": name, **TARGETS[backend]}
        headers = {"X-Request-Id" if mode == "request-id" else "Idempotency-Key": name, **_CHINESE}
        if mode.startswith("disconnect"):
            self._disconnect(body, headers, mid_body=mode.endswith("mid-body"))
        elif mode == "async":
            self._send("create", "POST", "/modules", body, {**headers, "Prefer": "respond-async"})
        for _ in range(_MAX_ATTEMPTS):
            response = self._send("create", "POST", "/modules", body, headers)
            if response.status == 201:
                self.created.add((backend, str(response.body["native_id"])))
                return str(response.body["id"])
            if not response.body.get("retryable", response.status == 0):
                return None
            if operation := response.body.get("instance"):
                self._send("follow", "GET", operation)
        self.unanswered.append(name)
        return None

    def _use(self, path: str, backend: str) -> None:
        """Read, rename and delete a module."""
        self._send("read", "GET", path, headers=_CHINESE)
        patch = {"name": f"soaked-{next(_numbers)}"}
        if backend == "projectman":  # its description cannot be read back, so a patch must have one
            patch["description"] = "soaked"
        self._send("patch", "PATCH", path, patch)
        for _ in range(_MAX_ATTEMPTS):
            if self._send("delete", "DELETE", path).status in {204, 404}:
                return

    def _disconnect(self, body: Mapping[str, Any], headers: Mapping[str, str], *, mid_body: bool) -> None:
        """Send a request, or half of its body, and close the connection without reading the response."""
        content = json.dumps(body).encode()
        sent = content[: len(content) // 2] if mid_body else content
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
        address = self._testbed.addresses[0]
        with suppress(*CONNECTION_ERRORS), closing(HTTPConnection(address, timeout=15)) as connection:
            connection.request("POST", "/modules", sent, headers)

    def _send(
        self, kind: str, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        """Send a request when the rate of all callers allows it, and count its response."""
        with self._lock:
            self.requests += 1
            self._next = max(self._next, time.monotonic()) + (1 / self.rate if self.rate else 0.0)
            delay = self._next - time.monotonic()
        time.sleep(max(delay, 0.0))
        try:
            response = send(self._testbed.addresses[0], method, path, body, headers)
        except CONNECTION_ERRORS as error:
            response = HttpResponse(status=0, headers={}, body={"code": type(error).__name__}, received_at=0.0)
        key = f"{kind} {response.status} {response.code}".strip()
        self.responses[key] += 1
        if response.status not in _EXPECTED[kind]:
            self.unexpected[key] += 1
        return response
