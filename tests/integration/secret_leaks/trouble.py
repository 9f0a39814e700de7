"""Everything that can happen to a gateway: successes, refusals, faults, bugs, malformed requests, crashes."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg

from tests.integration.chaos.http import ask
from tests.integration.chaos.stand import eventually
from tests.integration.secret_leaks.stand import CMDB, PROJECTMAN, Stand, draft, signal_worker, workers

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


def works(stand: Stand) -> None:
    """All that a caller may ask of every connection; the parrots refuse it."""
    for backend in BACKENDS:
        headers = {
            **stand.credentials(backend),
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
        status, module = stand.ask("POST", "/modules", draft(backend, f"made-{backend}"), headers)
        scope = draft(backend, "")["scope"]
        stand.ask("GET", f"/modules?backend={backend}&scope={scope}", None, headers)
        if not backend.endswith("-parrot"):
            assert status == 201, module
            stand.ask("GET", f"/modules/{module['id']}", None, headers)
            stand.ask("PATCH", f"/modules/{module['id']}", {"name": f"renamed-{backend}", "description": "d"}, headers)
            stand.ask("DELETE", f"/modules/{module['id']}", None, headers)
        for _ in range(6):  # the parrot has six notations
            stand.ask("GET", f"/modules?backend={backend}&scope={scope}", None, headers)


def refusals(stand: Stand) -> None:
    """Wrong keys of every sort, wrong credentials, conflicts."""
    wrong = stand.markers.make("wrong-key")
    for headers in (
        {"X-Api-Key": wrong},
        {"X-Api-Key": "", "Authorization": f"Bearer {wrong}"},
        {"X-Api-Key": "", "Authorization": f"Basic {wrong}"},
        {"X-Api-Key": "", "X-Forwarded-Client-Cert": f"URI=spiffe://{wrong}"},
        {"X-Api-Key": "", "Cookie": f"session={wrong}"},
        {"Authorization": f"Bearer {wrong}.{wrong}.{wrong}"},
    ):
        stand.ask("POST", "/modules", draft("cmdb", "refused"), headers)
    for backend, name in (("cmdb-own", "X-Bk-Token"), ("pm-own", "X-Auth-Token")):
        for value in (wrong, ""):
            stand.ask("POST", "/modules", draft(backend, "refused"), {name: value})
    stand.ask("POST", "/modules", draft("cmdb", "made-twice"))
    stand.ask("POST", "/modules", draft("cmdb", "made-twice"))
    stand.ask("POST", "/modules", {**draft("cmdb", "lost"), "scope": "99"})


def faults(stand: Stand) -> None:
    """What goes wrong between the gateway and a backend."""
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(partial(_faults_of, stand), ("cmdb", "pm-token")))
    _faults_of(stand, "pm-own")


def _faults_of(stand: Stand, backend: str) -> None:
    twin = stand.twins["cmdb" if backend == "cmdb" else "projectman"].removeprefix("http://")
    for number, fault in enumerate(FAULTS):
        ask(twin, "POST", "/twin/faults", {"operation": "create", **fault})
        wanted = draft(backend, f"fault-{backend}-{number}")
        _, told = stand.ask("POST", "/modules", wanted, stand.credentials(backend))
        if isinstance(told, dict) and told.get("instance"):
            stand.ask("GET", told["instance"])
        ask(twin, "DELETE", "/twin/faults")


def explosions(stand: Stand) -> None:
    """Bugs with secrets in their words, in the request and in the greenlet that sends a create."""

    def explode(backend: str) -> None:
        wanted, headers = draft(backend, f"explode-{backend}"), stand.credentials(backend)
        stand.ask("POST", "/modules", wanted, headers)
        stand.ask("GET", f"/modules?backend={backend}&scope={wanted['scope']}&name=explode", None, headers)

    with ThreadPoolExecutor(len(BACKENDS)) as pool:
        list(pool.map(explode, BACKENDS))


def malformed(stand: Stand) -> None:
    """Bytes that are no HTTP, and HTTP that is no request of ours; a key is in each."""
    key = stand.markers.make("api-key")
    host = f"Host: x\r\nX-Api-Key: {key}\r\n"
    for lines in (
        f"GET /modules HTTP/1.1\r\n{host}Authorization Bearer {key}\r\n\r\n",
        f"GET /modules HTTP/1.1\r\n{host}X-Auth-Token\x00: {key}\r\n\r\n",
        f"GET /modules HTTP/1.1\r\n{host}X-Auth-Token: {key}\x00\r\n\r\n",
        f"GET /modules HTTP/1.1\r\n{host}Content-Length: {key}\r\n\r\n",
        f"POST /modules HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{key}\r\n\r\n",
        f"POST /modules HTTP/1.1\r\n{host}Content-Length: 900\r\n\r\n{{",
        f"GET /modules HTTP/1.1\r\n{host}X-Auth-Token: {key * 4000}\r\n\r\n",
        f"GET /modules HTTP/{key}\r\n{host}\r\n",
    ):
        stand.shout(lines.encode())
    for body in (b"{", b"\xff", b'{"backend": "cmdb", "password": 1}', b"[" * 5000, b'{"a":1,"a":2}', b"x" * 70_000):
        stand.ask("POST", "/modules", body)
    for path in ("/nowhere", "/modules/x", "/modules?backend=nope&scope=1", "/operations/nope", "/%00%ff"):
        stand.ask("GET", path)
    stand.ask("BREW", "/modules")


def crashes(stand: Stand) -> None:
    """Workers die, and others take their place."""
    for number in (signal.SIGKILL, signal.SIGABRT):
        victim = workers(stand.replica)[0]
        signal_worker(victim, number)
        assert eventually(partial(_replaced, stand, victim), 20)
        assert eventually(lambda: stand.ask("GET", "/readyz")[0] == 200, 20)


def _replaced(stand: Stand, victim: int) -> bool:
    there = workers(stand.replica)
    return victim not in there and len(there) == 2


def everything_shown(stand: Stand) -> None:
    """Ask for all that can be seen, then end the service."""
    for path in (
        "/metrics",
        "/openapi.json",
        "/docs",
        "/errors",
        "/backends",
        *(f"/backends/{name}" for name in BACKENDS),
    ):
        assert stand.ask("GET", path)[0] == 200, path
    for operation in rows(stand, "SELECT id FROM operations"):
        stand.ask("GET", f"/operations/{operation[0]}")
    time.sleep(0.5)  # the exporter sends five times a second
    stand.replica.terminate()
    assert stand.replica.wait(60) == 0


def rows(stand: Stand, query: str) -> list[tuple[Any, ...]]:
    """Read the journal past the gateway."""
    with psycopg.connect(stand.journal_url) as connection:
        return connection.execute(query.encode()).fetchall()
