"""The transport under gevent's patches; all scenarios run in one process, which has the patches."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, Final
from unittest import mock

import gevent
import pytest
from gevent.pywsgi import WSGIServer
from gevent.server import StreamServer

from gateway.app import SystemClock
from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendUnavailable, GatewayError
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest
from gateway.transport.bulkhead import FairSemaphore
from tests.unit.transport.certificates import create_certificate, server_context


def count_free(semaphore: FairSemaphore) -> int:
    return sum(takewhile(bool, (semaphore.acquire(0.0) for _ in range(1000))))


def wait_in_order() -> str:
    semaphore, order = FairSemaphore(3, 1000), []

    def work(number: int) -> None:
        if semaphore.acquire(30.0):
            order.append(number)
            gevent.sleep(0.0001)
            semaphore.release()

    gevent.joinall([gevent.spawn(work, number) for number in range(500)])
    return f"in order: {order == list(range(500))}, still waiting: {semaphore._waiting}"


def kill_half_of_the_waiters() -> str:
    semaphore, served = FairSemaphore(5, 1000), []
    for _ in range(5):
        semaphore.acquire(0.0)

    def work(number: int) -> None:
        if semaphore.acquire(30.0):
            served.append(number)
            semaphore.release()

    workers = [gevent.spawn(work, number) for number in range(600)]
    gevent.sleep(0.05)
    gevent.killall(workers[::2])
    for _ in range(5):
        semaphore.release()
    gevent.joinall(workers)
    return f"after killing 300 of 600: served {len(served)}, free {count_free(semaphore)}"


def kill_a_waiter_with_a_new_permit() -> str:
    semaphore = FairSemaphore(1, 10)
    semaphore.acquire(0.0)
    worker = gevent.spawn(semaphore.acquire, 30.0)
    gevent.sleep(0.01)
    worker.kill(block=False)  # the exception is raised when the worker runs next …
    semaphore.release()  # … and by then it has the permit
    gevent.joinall([worker])
    return f"killed with a new permit: free {count_free(semaphore)}"


class SlowServer(WSGIServer):
    """Answers slowly and counts concurrent requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.answer, log=None)
        self.active = self.max_active = 0
        self.seconds = 0.02
        self.start()

    def answer(self, _: object, start_response: Callable[..., object]) -> list[bytes]:
        self.active += 1
        self.max_active = max(self.max_active, self.active)
        gevent.sleep(self.seconds)
        self.active -= 1
        start_response("200 OK", [("Content-Length", "2")])
        return [b"{}"]


def send(client: UpstreamClient, port: int | None) -> int:
    request = UpstreamRequest(method="GET", url=f"http://127.0.0.1:{port}/", headers={})
    return client.send(request, CallContext("r", SystemClock().monotonic() + 50.0)).status


def send_a_thousand_calls() -> str:
    server, client = SlowServer(), UpstreamClient(TransportSettings(concurrent_calls=20), SystemClock())
    calls = [gevent.spawn(send, client, server.server_port) for _ in range(1000)]
    gevent.joinall(calls)
    answered = sum(call.value == 200 for call in calls)
    return f"answered {answered} of 1000, at most 20 at once: {server.max_active <= 20}, circuit {client.state}"


def kill_the_probe() -> str:
    settings = TransportSettings(circuit_failures=1, circuit_seconds=0.01, concurrent_calls=1)
    server, client = SlowServer(), UpstreamClient(settings, SystemClock())
    with suppress(BackendUnavailable):
        send(client, 1)  # refused
    gevent.sleep(0.02)
    server.seconds = 30.0
    probe = gevent.spawn(send, client, server.server_port)
    gevent.sleep(0.05)
    probe.kill()
    server.seconds = 0.0
    return f"killed probe: the next call was answered {send(client, server.server_port)}"


def write(url: str, ca_file: str | None = None, *, is_write: bool = True) -> str:
    """Send a request that has 0.3 seconds, and return its error."""
    client, clock = UpstreamClient(TransportSettings(ca_file=ca_file), SystemClock()), SystemClock()
    request = UpstreamRequest(method="POST", url=url, headers={}, body=b"{}", is_write=is_write)
    try:
        client.send(request, CallContext("r", clock.monotonic() + 0.3))
    except GatewayError as error:
        return type(error).__name__
    return "answered"


def drip(connection: socket.socket, data: bytes) -> None:
    """Send a byte every 50 milliseconds, until the client closes: a timeout for each packet would never expire."""
    with suppress(OSError):
        for byte in data:
            connection.sendall(bytes([byte]))
            gevent.sleep(0.05)


def drip_tls(serve: Callable[[socket.socket, ssl.SSLContext], None], *, is_write: bool = True) -> str:
    with tempfile.TemporaryDirectory() as folder:
        certificate = create_certificate(Path(folder))
        context = server_context(certificate)
        server = StreamServer(("127.0.0.1", 0), lambda connection, _: serve(connection, context))
        server.start()
        return write(f"https://127.0.0.1:{server.server_port}/", str(certificate), is_write=is_write)


def drip_a_handshake(connection: socket.socket, _: ssl.SSLContext) -> None:
    drip(connection, b"\x16\x03\x03\x10\x00" + b"\x02" * 4096)  # a record of 4 KiB, which begins like a ServerHello


def drip_a_record(connection: socket.socket, context: ssl.SSLContext) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            incoming.write(connection.recv(65536))
        else:
            break
    connection.sendall(outgoing.read())
    connection.recv(65536)
    tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b" " * 5000)
    drip(connection, outgoing.read())


def connect_to_four_dead_addresses() -> str:
    """Four listening sockets whose queue of connections is full: the system drops further connections unanswered."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(4)]
        addresses: list[Any] = []
        for number, listener in enumerate(listeners, start=2):
            listener.bind((f"127.0.0.{number}", 0))
            listener.listen(0)
            addresses.append((socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname()))
            for _ in range(4):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)  # noqa: FBT003 - the name in the standard library
                filler.connect_ex(listener.getsockname())
        started = SystemClock().monotonic()
        with mock.patch("socket.getaddrinfo", return_value=addresses):
            error = write("http://dead.example/")
        return f"{error}, in time: {SystemClock().monotonic() - started < 3.0}"


def hang_in_getaddrinfo() -> str:
    with mock.patch("socket.getaddrinfo", side_effect=lambda *_, **__: gevent.sleep(30.0)):
        return write("http://slow.example/")


SCENARIOS: Final[dict[str, tuple[Callable[[], str], str]]] = {
    "waiters are served in order": (wait_in_order, "in order: True, still waiting: 0"),
    "killed waiters lose no permit": (kill_half_of_the_waiters, "after killing 300 of 600: served 300, free 5"),
    "a waiter killed with a new permit releases it": (
        kill_a_waiter_with_a_new_permit,
        "killed with a new permit: free 1",
    ),
    "a thousand calls are all answered": (
        send_a_thousand_calls,
        "answered 1000 of 1000, at most 20 at once: True, circuit reachable",
    ),
    "a killed probe frees the circuit": (kill_the_probe, "killed probe: the next call was answered 200"),
    "a dripping TLS handshake ends at the deadline": (lambda: drip_tls(drip_a_handshake), "BackendUnavailable"),
    "a dripping TLS handshake of a read ends at the deadline": (
        lambda: drip_tls(drip_a_handshake, is_write=False),
        "BackendUnavailable",
    ),
    "four dead addresses have one deadline": (connect_to_four_dead_addresses, "BackendUnavailable, in time: True"),
    "a dripping TLS record ends at the deadline": (lambda: drip_tls(drip_a_record), "OutcomeUnknown"),
    "a name lookup that hangs ends at the deadline": (hang_in_getaddrinfo, "BackendUnavailable"),
}


@pytest.fixture(scope="module")
def results() -> Any:
    """The result of each scenario."""
    command = [sys.executable, "-m", "gevent.monkey", "--module", "tests.unit.transport.test_gevent"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


@pytest.mark.timeout(360)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_under_gevent(results: Any, scenario: str) -> None:
    """The order holds, no permit is lost, every call is answered, and deadlines end what sends a little at a time."""
    assert results[scenario] == SCENARIOS[scenario][1]


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: run() for name, (run, _) in SCENARIOS.items()}))
