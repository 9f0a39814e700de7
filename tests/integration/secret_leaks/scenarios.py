"""Scenarios: successes, refusals, faults, bugs, malformed requests and crashes."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg

from tests.integration.chaos.testbed import eventually
from tests.integration.http_client import send
from tests.integration.secret_leaks.testbed import CMDB, PROJECTMAN, LeakTestbed, draft
from tests.integration.soak.resources import workers

BACKENDS = (*CMDB, *PROJECTMAN)
FAULTS: list[dict[str, Any]] = [
    {"fault": "reset"},
    {"fault": "drop", "effect": "late", "seconds": 0.3},
    {"fault": "html"},
    {"fault": "delay", "seconds": 1.2},
    {"fault": "status", "status": 503, "body": "html"},
    {"fault": "redirect", "location": "/login?token=none"},
    {"fault": "truncate"},
]


def successes(testbed: LeakTestbed) -> None:
    """Send every kind of request to every connection; the echo backend refuses them."""
    for backend in BACKENDS:
        headers = {
            **testbed.credentials(backend),
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
        status, module = testbed.send("POST", "/modules", draft(backend, f"made-{backend}"), headers)
        scope = draft(backend, "")["scope"]
        modules = f"/modules?backend={backend}&scope={scope}"
        testbed.send("GET", modules, None, headers)
        if not backend.endswith("-echo"):
            assert status == 201, module
            path, patch = f"/modules/{module['id']}", {"name": f"renamed-{backend}", "description": "d"}
            for method, body in (("GET", None), ("PATCH", patch), ("DELETE", None)):
                testbed.send(method, path, body, headers)
        for _ in range(6):  # the echo backend has six encodings
            testbed.send("GET", modules, None, headers)


def refusals(testbed: LeakTestbed) -> None:
    """Send wrong keys, wrong credentials and conflicting creates."""
    wrong_key = testbed.markers.make("wrong-key")
    for headers in (
        {"X-Api-Key": wrong_key},
        {"X-Api-Key": "", "Authorization": f"Bearer {wrong_key}"},
        {"X-Api-Key": "", "Authorization": f"Basic {wrong_key}"},
        {"X-Api-Key": "", "X-Forwarded-Client-Cert": f"URI=spiffe://{wrong_key}"},
        {"X-Api-Key": "", "Cookie": f"session={wrong_key}"},
        {"Authorization": f"Bearer {wrong_key}.{wrong_key}.{wrong_key}"},
    ):
        testbed.send("POST", "/modules", draft("cmdb", "refused"), headers)
    for backend, name in (("cmdb-own", "X-Bk-Token"), ("pm-own", "X-Auth-Token")):
        for value in (wrong_key, ""):
            testbed.send("POST", "/modules", draft(backend, "refused"), {name: value})
    testbed.send("POST", "/modules", draft("cmdb", "made-twice"))
    testbed.send("POST", "/modules", draft("cmdb", "made-twice"))
    testbed.send("POST", "/modules", {**draft("cmdb", "lost"), "scope": "99"})


def faults(testbed: LeakTestbed) -> None:
    """Create modules while the twins fail."""
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(partial(_send_with_faults, testbed), ("cmdb", "pm-token")))
    _send_with_faults(testbed, "pm-own")


def _send_with_faults(testbed: LeakTestbed, backend: str) -> None:
    twin = testbed.twins["cmdb" if backend == "cmdb" else "projectman"].removeprefix("http://")
    for number, fault in enumerate(FAULTS):
        send(twin, "POST", "/twin/faults", {"operation": "create", **fault})
        body = draft(backend, f"fault-{backend}-{number}")
        _, document = testbed.send("POST", "/modules", body, testbed.credentials(backend))
        if isinstance(document, dict) and document.get("instance"):
            testbed.send("GET", document["instance"])
        send(twin, "DELETE", "/twin/faults")


def bugs(testbed: LeakTestbed) -> None:
    """Trigger exceptions with secrets in their messages, in a request and in the greenlet of a create."""

    def trigger(backend: str) -> None:
        body, headers = draft(backend, f"explode-{backend}"), testbed.credentials(backend)
        testbed.send("POST", "/modules", body, headers)
        testbed.send("GET", f"/modules?backend={backend}&scope={body['scope']}&name=explode", None, headers)

    with ThreadPoolExecutor(len(BACKENDS)) as pool:
        list(pool.map(trigger, BACKENDS))


def malformed(testbed: LeakTestbed) -> None:
    """Send malformed HTTP and invalid requests, each with a key."""
    key = testbed.markers.make("api-key")
    host = f"Host: x\r\nX-Api-Key: {key}\r\n"
    for text in (
        f"GET /modules HTTP/1.1\r\n{host}Authorization Bearer {key}\r\n\r\n",
        f"GET /modules HTTP/1.1\r\n{host}X-Auth-Token\x00: {key}\r\n\r\n",
        f"GET /modules HTTP/1.1\r\n{host}X-Auth-Token: {key}\x00\r\n\r\n",
        f"GET /modules HTTP/1.1\r\n{host}Content-Length: {key}\r\n\r\n",
        f"POST /modules HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{key}\r\n\r\n",
        f"POST /modules HTTP/1.1\r\n{host}Content-Length: 900\r\n\r\n{{",
        f"GET /modules HTTP/1.1\r\n{host}X-Auth-Token: {key * 4000}\r\n\r\n",
        f"GET /modules HTTP/{key}\r\n{host}\r\n",
    ):
        testbed.send_raw(text.encode())
    for body in (b"{", b"\xff", b'{"backend": "cmdb", "password": 1}', b"[" * 5000, b'{"a":1,"a":2}', b"x" * 70_000):
        testbed.send("POST", "/modules", body)
    for path in ("/nowhere", "/modules/x", "/modules?backend=nope&scope=1", "/operations/nope", "/%00%ff"):
        testbed.send("GET", path)
    testbed.send("BREW", "/modules")


def crashes(testbed: LeakTestbed) -> None:
    """Kill workers and wait for their replacements."""
    master = testbed.replica.group
    for number in (signal.SIGKILL, signal.SIGABRT):
        victim = min(workers(master))
        with suppress(ProcessLookupError):  # it may have ended already
            os.kill(victim, number)
        assert eventually(lambda: victim not in (running := workers(master)) and len(running) == 2, 20)  # noqa: B023
        assert eventually(lambda: testbed.send("GET", "/readyz")[0] == 200, 20)


def read_everything(testbed: LeakTestbed) -> None:
    """Read every document and operation, then stop the gateway."""
    backends = [f"/backends/{name}" for name in BACKENDS]
    for path in ("/metrics", "/openapi.json", "/docs", "/errors", "/backends", *backends):
        assert testbed.send("GET", path)[0] == 200, path
    for operation in rows(testbed, "SELECT id FROM operations"):
        testbed.send("GET", f"/operations/{operation[0]}")
    time.sleep(0.5)  # the exporter sends every 200 ms
    testbed.replica.terminate()
    assert testbed.replica.wait(60) == 0


def rows(testbed: LeakTestbed, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query of the journal's database."""
    with psycopg.connect(testbed.journal_url) as connection:
        return connection.execute(query.encode()).fetchall()
