"""Slots and the gate under gevent's patches: `python -m tests.unit.transport.greenlets` prints what became of everybody."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  # the patches come first

import gevent  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

from gateway.app import SystemClock  # noqa: E402
from gateway.domain.backend import CallContext  # noqa: E402
from gateway.domain.errors import BackendUnavailable  # noqa: E402
from gateway.transport import TransportSettings, UpstreamClient, UpstreamRequest  # noqa: E402
from gateway.transport.bulkhead import FairSemaphore  # noqa: E402


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def count_free(slots: FairSemaphore) -> int:
    free = 0
    while slots.take(0.0):
        free += 1
    return free


def queue_in_order() -> None:
    slots, order = FairSemaphore(3, 1000), []

    def work(number: int) -> None:
        if slots.take(30.0):
            order.append(number)
            gevent.sleep(0.0001)
            slots.give()

    gevent.joinall([gevent.spawn(work, number) for number in range(500)])
    say(f"order kept: {order == list(range(500))}, left waiting: {len(slots._waiting)}")


def kill_half() -> None:
    slots, served = FairSemaphore(5, 1000), []
    for _ in range(5):
        slots.take(0.0)

    def work(number: int) -> None:
        if slots.take(30.0):
            served.append(number)
            slots.give()

    workers = [gevent.spawn(work, number) for number in range(600)]
    gevent.sleep(0.05)
    gevent.killall(workers[::2])
    for _ in range(5):
        slots.give()
    gevent.joinall(workers)
    say(f"after killing 300 of 600: served {len(served)}, free {count_free(slots)}")


def kill_who_was_called() -> None:
    slots = FairSemaphore(1, 10)
    slots.take(0.0)
    worker = gevent.spawn(slots.take, 30.0)
    gevent.sleep(0.01)
    worker.kill(block=False)  # thrown into it as soon as it would run …
    slots.give()  # … and now the place is its own
    gevent.joinall([worker])
    say(f"killed when called: free {count_free(slots)}")


class Backend:
    """Answers slowly, and counts how many it answers at once."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.seconds = 0.005

    def __call__(self, environ: object, start_response: object) -> list[bytes]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        gevent.sleep(self.seconds)
        self.inside -= 1
        start_response("200 OK", [("Content-Length", "2")])  # type: ignore[operator] # of WSGI
        return [b"{}"]


def send(transport: UpstreamClient, port: int | None) -> int:
    request = UpstreamRequest(method="GET", url=f"http://127.0.0.1:{port}/", headers={})
    return transport.send(request, CallContext("r", SystemClock().monotonic() + 50.0)).status


def thousand_calls() -> None:
    backend = Backend()
    server = WSGIServer(("127.0.0.1", 0), backend, log=None)
    server.start()
    transport = UpstreamClient(TransportSettings(concurrent_calls=20), SystemClock())
    calls = [gevent.spawn(send, transport, server.server_port) for _ in range(1000)]
    gevent.joinall(calls)
    answered = sum(call.value == 200 for call in calls)
    say(f"answered {answered} of 1000, most at once {backend.most}, circuit {transport.state}")
    transport.close()
    server.stop()


def kill_the_probe() -> None:
    backend = Backend()
    server = WSGIServer(("127.0.0.1", 0), backend, log=None)
    server.start()
    transport = UpstreamClient(
        TransportSettings(circuit_failures=1, circuit_seconds=0.01, concurrent_calls=1), SystemClock()
    )
    try:
        send(transport, 1)  # nobody listens there
    except BackendUnavailable:
        gevent.sleep(0.02)
    backend.seconds = 30.0
    probe = gevent.spawn(send, transport, server.server_port)
    gevent.sleep(0.05)
    probe.kill()
    backend.seconds = 0.0
    say(f"killed probe: the next call was answered {send(transport, server.server_port)}")
    transport.close()
    server.stop(timeout=0.1)


if __name__ == "__main__":
    queue_in_order()
    kill_half()
    kill_who_was_called()
    thousand_calls()
    kill_the_probe()
