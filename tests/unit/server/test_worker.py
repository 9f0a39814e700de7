"""The draining worker: what SIGTERM, an idle connection and a malformed request do to it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import InvalidHeader, InvalidResponseHeader, LimitRequestLine
from gunicorn.workers.ggevent import GeventWorker

from gateway.domain.errors import Draining
from gateway.server.application import GatewayApplication
from gateway.server.worker import DrainingGeventWorker

SECRET = "key-4711"


@pytest.fixture
def application(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> BaseApplication:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
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


def _handle_error(worker: DrainingGeventWorker, error: Exception) -> bytes:
    """Let the worker handle an error as gunicorn does, while it is being handled; return what the client receives."""
    client, peer = gevent_socket.socketpair()
    with client, peer:
        try:
            raise error  # noqa: TRY301 - it must be the current exception
        except Exception as caught:
            worker.handle_error(None, client, ("127.0.0.1", 1), caught)
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
    """While deregistering, a response closes its connection; a connection is idle except while it is served."""
    worker, connection, closed, idle = start(), object(), [], []
    worker.deregistering = deregistering

    def handle_request(_self: Any, *_args: Any) -> None:
        idle.append(connection in worker.idle_connections)

    def handle(_self: Any, _listener: Any, client: Any, _addr: Any) -> None:
        idle.append(client in worker.idle_connections)
        request = SimpleNamespace(force_close=lambda: closed.append(True))
        worker.handle_request("name", request, client, ("127.0.0.1", 1))
        idle.append(client in worker.idle_connections)

    monkeypatch.setattr(GeventWorker, "handle_request", handle_request)
    monkeypatch.setattr(GeventWorker, "handle", handle)
    worker.handle(None, connection, ("127.0.0.1", 1))
    assert idle == [True, False, True]
    assert not worker.idle_connections
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
    """A greenlet that waits for a request reads the end of input; what has arrived is still read."""
    worker = start()
    waiting, peer = gevent_socket.socketpair()
    arrived, other_peer = gevent_socket.socketpair()
    closed, third_peer = gevent_socket.socketpair()
    closed.close()
    worker.idle_connections |= {waiting, arrived, closed}
    reader = gevent.spawn(waiting.recv, 100)
    gevent.sleep(0)
    other_peer.sendall(b"GET")
    worker.notify()
    gevent.sleep(0)
    assert not reader.ready()
    worker.alive = False
    worker.notify()
    assert reader.get(timeout=30.0) == b""
    assert (arrived.recv(100), arrived.recv(100)) == (b"GET", b"")
    waiting.sendall(b"503")  # the response can still be sent
    assert peer.recv(100) == b"503"
    for connection in (waiting, peer, arrived, other_peer, third_peer):
        connection.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidHeader(f"X-Api-Key : {SECRET}"), b"400 Bad Request"),
        (LimitRequestLine(SECRET), b"414 URI Too Long"),
        (InvalidResponseHeader(SECRET), b"500 Internal Server Error"),
    ],
)
def test_a_malformed_request_is_not_quoted(
    start: Callable[..., DrainingGeventWorker], caplog: pytest.LogCaptureFixture, error: Exception, status: bytes
) -> None:
    """Response and log contain the error's name, not its message; the status stays gunicorn's."""
    response = _handle_error(start(), error)
    assert response.startswith(b"HTTP/1.1 " + status)
    assert type(error).__name__ in caplog.text
    assert SECRET not in caplog.text + response.decode()


def test_other_errors_are_logged_as_they_are(
    start: Callable[..., DrainingGeventWorker], caplog: pytest.LogCaptureFixture
) -> None:
    """An error that is not about the request keeps its message."""
    response = _handle_error(start(), ValueError("a bug"))
    assert "a bug" in caplog.text
    assert response.startswith(b"HTTP/1.1 500 Internal Server Error")


def test_the_application_is_what_was_passed(application: BaseApplication) -> None:
    """Gunicorn gets the service from the given function, and the draining worker from the settings."""
    assert application.wsgi()({}, None) == []
    assert application.cfg.worker_class is DrainingGeventWorker
