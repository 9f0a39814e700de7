"""Scenarios under gevent's patches: `python -m tests.unit.transport.gevent_scenarios` prints one line for each."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402  # the patches come first
import ssl  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

from gateway.app import SystemClock  # noqa: E402
from gateway.domain.backend import CallContext  # noqa: E402
from gateway.domain.errors import BackendUnavailable, GatewayError  # noqa: E402
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest  # noqa: E402
from gateway.transport.bulkhead import FairSemaphore  # noqa: E402
from tests.unit.transport.certificates import create_certificate, server_context  # noqa: E402


def report(text: str) -> None:
    sys.stdout.write(text + "\n")


def count_free(semaphore: FairSemaphore) -> int:
    free = 0
    while semaphore.acquire(0.0):
        free += 1
    return free


def wait_in_order() -> None:
    semaphore, order = FairSemaphore(3, 1000), []

    def work(number: int) -> None:
        if semaphore.acquire(30.0):
            order.append(number)
            gevent.sleep(0.0001)
            semaphore.release()

    gevent.joinall([gevent.spawn(work, number) for number in range(500)])
    report(f"in order: {order == list(range(500))}, still waiting: {len(semaphore._waiters)}")


def kill_half_of_the_waiters() -> None:
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
    report(f"after killing 300 of 600: served {len(served)}, free {count_free(semaphore)}")


def kill_a_waiter_with_a_new_permit() -> None:
    semaphore = FairSemaphore(1, 10)
    semaphore.acquire(0.0)
    worker = gevent.spawn(semaphore.acquire, 30.0)
    gevent.sleep(0.01)
    worker.kill(block=False)  # the exception is raised when the worker runs next …
    semaphore.release()  # … and by then it has the permit
    gevent.joinall([worker])
    report(f"killed with a new permit: free {count_free(semaphore)}")


class SlowApp:
    """A WSGI application that answers slowly and counts concurrent requests."""

    def __init__(self) -> None:
        self.active = self.max_active = 0
        self.seconds = 0.02

    def __call__(self, environ: object, start_response: object) -> list[bytes]:
        self.active += 1
        self.max_active = max(self.max_active, self.active)
        gevent.sleep(self.seconds)
        self.active -= 1
        start_response("200 OK", [("Content-Length", "2")])  # type: ignore[operator] # of WSGI
        return [b"{}"]


def send(client: UpstreamClient, port: int | None) -> int:
    request = UpstreamRequest(method="GET", url=f"http://127.0.0.1:{port}/", headers={})
    return client.send(request, CallContext("r", SystemClock().monotonic() + 50.0)).status


def send_a_thousand_calls() -> None:
    app = SlowApp()
    server = WSGIServer(("127.0.0.1", 0), app, log=None)
    server.start()
    client = UpstreamClient(TransportSettings(concurrent_calls=20), SystemClock())
    calls = [gevent.spawn(send, client, server.server_port) for _ in range(1000)]
    gevent.joinall(calls)
    answered = sum(call.value == 200 for call in calls)
    report(f"answered {answered} of 1000, at most {app.max_active} at once, circuit {client.state}")
    client.close()
    server.stop()


def kill_the_probe() -> None:
    app = SlowApp()
    server = WSGIServer(("127.0.0.1", 0), app, log=None)
    server.start()
    settings = TransportSettings(circuit_failures=1, circuit_seconds=0.01, concurrent_calls=1)
    client = UpstreamClient(settings, SystemClock())
    try:
        send(client, 1)  # refused
    except BackendUnavailable:
        gevent.sleep(0.02)
    app.seconds = 30.0
    probe = gevent.spawn(send, client, server.server_port)
    gevent.sleep(0.05)
    probe.kill()
    app.seconds = 0.0
    report(f"killed probe: the next call was answered {send(client, server.server_port)}")
    client.close()
    server.stop(timeout=0.1)


def write_and_report(name: str, url: str, ca_file: Path | None = None) -> None:
    """Send a write that has 0.3 seconds, and report its error."""
    settings = TransportSettings(ca_file=None if ca_file is None else str(ca_file))
    client, clock = UpstreamClient(settings, SystemClock()), SystemClock()
    request = UpstreamRequest(method="POST", url=url, headers={}, body=b"{}", is_write=True)
    try:
        client.send(request, CallContext("r", clock.monotonic() + 0.3))
    except GatewayError as error:
        report(f"{name}: {type(error).__name__}")


def drip(connection: socket.socket, data: bytes) -> None:
    """Send a byte every 50 milliseconds: a timeout for each packet would never expire."""
    try:
        for byte in data:
            connection.sendall(bytes([byte]))
            gevent.sleep(0.05)
    except OSError:
        return  # the client has closed the connection


def drip_tls(name: str, certificate: Path, serve: Callable[[socket.socket, ssl.SSLContext], None]) -> None:
    context = server_context(certificate)
    server = StreamServer(("127.0.0.1", 0), lambda connection, _: serve(connection, context))
    server.start()
    write_and_report(name, f"https://127.0.0.1:{server.server_port}/", certificate)
    server.stop(timeout=0.1)


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


def hang_in_getaddrinfo() -> None:
    original = socket.getaddrinfo
    socket.getaddrinfo = lambda *_args, **_kwargs: gevent.sleep(30.0)  # type: ignore[assignment]
    write_and_report("a name lookup that hangs", "http://slow.example/")
    socket.getaddrinfo = original


if __name__ == "__main__":
    wait_in_order()
    kill_half_of_the_waiters()
    kill_a_waiter_with_a_new_permit()
    send_a_thousand_calls()
    kill_the_probe()
    with tempfile.TemporaryDirectory() as folder:
        file = create_certificate(Path(folder))
        drip_tls("a dripping TLS handshake", file, drip_a_handshake)
        drip_tls("a dripping TLS record", file, drip_a_record)
    hang_in_getaddrinfo()
