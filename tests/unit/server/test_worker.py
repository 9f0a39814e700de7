"""The draining worker: what SIGTERM, an idle connection and a malformed request do to it."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ConfigurationProblem, InvalidHeader, InvalidResponseHeader, LimitRequestLine
from gunicorn.workers.ggevent import GeventWorker

from gateway.domain.errors import Draining
from gateway.server.application import GatewayApplication
from gateway.server.connection import Connection, Connections
from gateway.server.worker import DrainingGeventWorker

SECRET = "key-4711"


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> BaseApplication:
    monkeypatch.setenv("GATEWAY_BIND", "127.0.0.1:0")
    return GatewayApplication(lambda: lambda _environ, _start: [])


@pytest.fixture
def start(
    application: BaseApplication, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], DrainingGeventWorker]]:
    """Create a worker that has loaded the service, with a value of GATEWAY_LEAVE_SECONDS."""
    workers: list[DrainingGeventWorker] = []

    def create(deregister_seconds: str = "0") -> DrainingGeventWorker:
        monkeypatch.setenv("GATEWAY_LEAVE_SECONDS", deregister_seconds)
        log = logging.getLogger("tests.worker")
        worker = DrainingGeventWorker(1, os.getppid(), [], application, 30.0, application.cfg, log)
        provisioner = SimpleNamespace(draining=False)
        worker.wsgi = SimpleNamespace(
            extensions={"provisioner": provisioner}, view_functions={"health.readyz": lambda: "ready"}
        )
        workers.append(worker)
        return worker

    yield create
    for worker in workers:
        worker.tmp.close()


@pytest.fixture
def api(build: Callable[..., Any]) -> Any:
    """The gateway's own application."""
    return build({})


def _handle_error(worker: DrainingGeventWorker, error: Exception, request: Any = None) -> bytes:
    """Let the worker handle an error as gunicorn does, while it is being handled; return what the client receives."""
    client, peer = gevent_socket.socketpair()
    with client, peer:
        try:
            raise error  # noqa: TRY301 - it must be the current exception
        except Exception as caught:
            worker.handle_error(request, Connection(client, Connections(10, 1.0, 1.0)), ("127.0.0.1", 1), caught)
        client.shutdown(gevent_socket.SHUT_WR)
        return b"".join(iter(lambda: peer.recv(4096), b""))


def _readiness(worker: DrainingGeventWorker) -> str:
    try:
        return str(worker.wsgi.view_functions["health.readyz"]())
    except Draining:
        return "draining"


def test_sigterm_drains_at_once(start: Callable[..., DrainingGeventWorker]) -> None:
    """Without GATEWAY_LEAVE_SECONDS the main loop ends; creates are refused a second after the sockets are closed."""
    worker = start()
    worker.notify()
    worker.handle_exit(signal.SIGTERM, None)
    draining = [worker.wsgi.extensions["provisioner"].draining]
    for _ in range(2):
        worker.notify()
        draining.append(worker.wsgi.extensions["provisioner"].draining)
    assert (worker.alive, draining) == (False, [False, False, True])


def test_sigterm_withdraws_readiness_first(start: Callable[..., DrainingGeventWorker]) -> None:
    """With GATEWAY_LEAVE_SECONDS only /readyz changes; a second SIGTERM drains."""
    worker = start("3600")
    worker.handle_exit(signal.SIGTERM, None)
    assert (worker.alive, worker.wsgi.extensions["provisioner"].draining) == (True, False)
    assert _readiness(worker) == "draining"
    worker.handle_exit(signal.SIGTERM, None)
    assert not worker.alive


def test_the_drain_follows_after_the_time(start: Callable[..., DrainingGeventWorker]) -> None:
    """One SIGTERM is enough: the drain starts by itself."""
    worker = start("0.01")
    worker.handle_exit(signal.SIGTERM, None)
    assert worker.alive
    with gevent.Timeout(30.0):
        while worker.alive:
            gevent.sleep(0.005)


def test_sigterm_while_loading_ends_the_worker(start: Callable[..., DrainingGeventWorker]) -> None:
    """A worker that has not loaded the service has nothing to drain."""
    worker = start("3600")
    del worker.wsgi
    worker.handle_exit(signal.SIGTERM, None)
    assert (worker.alive, worker.deregistering) == (False, False)


@pytest.mark.parametrize("deregistering", [False, True])
def test_the_last_request_of_a_connection(
    start: Callable[..., DrainingGeventWorker], monkeypatch: pytest.MonkeyPatch, deregistering: bool
) -> None:
    """While deregistering, a response closes its connection; a connection serves from its head to its response."""
    worker, closed, serving = start(), [], []
    worker.deregistering = deregistering
    client, peer = gevent_socket.socketpair()

    def handle_request(_self: Any, _name: Any, _request: Any, connection: Connection, _addr: Any) -> None:
        serving.append(connection.serving)

    def handle(_self: Any, _listener: Any, connection: Connection, _addr: Any) -> None:
        serving.append(connection.serving)
        body = SimpleNamespace(read=lambda _size: b"")
        request = SimpleNamespace(force_close=lambda: closed.append(True), body=body, headers=[])
        worker.handle_request("name", request, connection, ("127.0.0.1", 1))
        serving.append(connection.serving)

    monkeypatch.setattr(GeventWorker, "handle_request", handle_request)
    monkeypatch.setattr(GeventWorker, "handle", handle)
    with client, peer:
        worker.handle(None, client, ("127.0.0.1", 1))
    assert serving == [False, True, False]
    assert closed == [True] * deregistering


def test_gevent_does_not_record_spawns(
    start: Callable[..., DrainingGeventWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each create spawns a greenlet, and to record where costs more than the spawn."""
    monkeypatch.setattr(gevent.config, "track_greenlet_tree", True)
    monkeypatch.setattr(GeventWorker, "init_process", lambda _self: None)
    start().init_process()
    assert not gevent.config.track_greenlet_tree


def test_idle_connections_are_closed_while_it_ends(start: Callable[..., DrainingGeventWorker]) -> None:
    """A connection that waits for a request, or for the rest of its head, ends; one whose body is awaited stays."""
    worker = start()
    worker.connections[None] = connections = Connections(10, 60.0, 60.0)
    pairs = [gevent_socket.socketpair() for _ in range(4)]
    idle, head, body, closed = (Connection(pair[0], connections) for pair in pairs)
    head.deadline = time.monotonic() + 60.0
    body.start_request()
    readers = [gevent.spawn(connection.recv, 100) for connection in (idle, head, body)]
    connections.idle[closed] = None
    closed.close()
    gevent.sleep(0)
    worker.notify()
    gevent.sleep(0)
    assert not any(reader.ready() for reader in readers)
    worker.alive = False
    worker.notify()
    assert [reader.get(timeout=30.0) for reader in readers[:2]] == [b"", b""]
    idle.sendall(b"503")  # the response can still be sent
    assert pairs[0][1].recv(100) == b"503"
    pairs[2][1].sendall(b"{}")
    assert readers[2].get(timeout=30.0) == b"{}"
    for connection in itertools.chain(*pairs):
        connection.close()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidHeader(f"X-Api-Key : {SECRET}"), b"400 BAD REQUEST", "malformed_request"),
        (LimitRequestLine(SECRET), b"414 REQUEST URI TOO LONG", "malformed_request"),
        (ConfigurationProblem(SECRET), b"404 NOT FOUND", "not_found"),
        (InvalidResponseHeader(SECRET), b"500 INTERNAL SERVER ERROR", "internal"),
        (ValueError("a bug"), b"500 INTERNAL SERVER ERROR", "internal"),
    ],
)
def test_a_request_that_gunicorn_refuses(
    start: Callable[..., DrainingGeventWorker],
    caplog: pytest.LogCaptureFixture,
    api: Any,
    error: Exception,
    status: bytes,
    code: str,
) -> None:
    """The response is a problem document, with the caller's request id and language; it does not quote the request."""
    worker = start()
    worker.wsgi = api
    headers = [("X-REQUEST-ID", "r-1"), ("ACCEPT-LANGUAGE", "zh"), ("COOKIE", SECRET)]
    response = _handle_error(worker, error, SimpleNamespace(method="GET", version=(1, 1), path="/x", headers=headers))
    head, _, body = response.partition(b"\r\n\r\n")
    document = json.loads(body)
    assert head.startswith(b"HTTP/1.1 " + status)
    assert (document["code"], document["request_id"], document["outcome"]) == (code, "r-1", "not_applied")
    assert b"Content-Language: zh-Hans" in head
    assert SECRET not in response.decode()
    malformed = [record for record in caplog.records if record.message == "malformed request"]
    assert len(malformed) == (code == "malformed_request")
    for record in malformed:
        assert record.__dict__["fields"] == {"error": type(error).__name__, "remote": "127.0.0.1"}
    assert [record.message for record in caplog.records].count("request failed") == (code == "internal")


def test_a_response_that_cannot_be_sent(start: Callable[..., DrainingGeventWorker], api: Any) -> None:
    """The caller of a malformed request may be gone already."""
    worker = start()
    worker.wsgi = api
    client, peer = gevent_socket.socketpair()
    connection = Connection(client, Connections(10, 1.0, 1.0))
    peer.close()
    client.close()
    worker.handle_error(None, connection, "unix", LimitRequestLine(1))
    assert connection.lingering


def test_another_application_keeps_the_errors_of_gunicorn(start: Callable[..., DrainingGeventWorker]) -> None:
    """config/gunicorn.conf.py may run any application."""
    assert _handle_error(start(), LimitRequestLine(1)).startswith(b"HTTP/1.1 414 URI Too Long")


def test_the_application_is_what_was_passed(application: BaseApplication) -> None:
    """Gunicorn gets the service from the given function, and the draining worker from the settings."""
    assert application.wsgi()({}, None) == []
    assert application.cfg.worker_class is DrainingGeventWorker
