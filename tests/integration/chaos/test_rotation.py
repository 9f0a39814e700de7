"""Secrets are replaced, and a connection becomes read-only, under load: no other request fails."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from time import sleep
from typing import Any, Final

import pytest

from gateway.twins import cmdb, projectman
from gateway.twins.projectman.default_seed import DEFAULT_SEED
from gateway.twins.server import running
from tests.integration.chaos.replica import Replica
from tests.integration.chaos.testbed import TARGETS, eventually
from tests.integration.http_client import HttpResponse, send
from tests.integration.secret_leaks.secret_markers import SecretMarkers

pytestmark = pytest.mark.loopback

_CONFIGURATION: Final = """
[server]
deadline_seconds = 8
[journal]
url = "sqlite:///{folder}/journal.db"
[backends.cmdb]
type = "cmdb"
base_url = "{cmdb}"
route = "{route}"
app_code = "gateway"
app_secret = "file:{folder}/app-secret"
username = "admin"
[backends.pm]
type = "projectman"
base_url = "{pm}"
access_key = "file:{folder}/access-key"
secret_key = "file:{folder}/secret-key"
[backends.pm-token]
type = "projectman"
base_url = "{pm}"
credentials = "token"
iam_url = "{pm}"
domain = "demo-account"
user = "demo_user_name_06"
password = "file:{folder}/password"
project = "cn-north-4"
"""
_NAMES: Final = ("app-secret", "access-key", "secret-key", "password")


class RotationTestbed:
    """A gateway with two workers whose secrets are files, and the twins; `results` are those of the load."""

    def __init__(self, stack: ExitStack, folder: Path, route: str) -> None:
        self.markers, self.folder = SecretMarkers(), folder
        for name in _NAMES:
            self.write(name, "old")
        user = {**DEFAULT_SEED["iam_users"][0], "password": self.value("password", "old")}  # type: ignore[index] # of objects
        keys = {self.value("access-key", "old"): self.value("secret-key", "old")}
        apps = {"gateway": self.value("app-secret", "old")}
        self.cmdb = stack.enter_context(running(cmdb.create_twin({"apps": apps})))
        pm_twin = projectman.create_twin({"iam_users": [user], "access_keys": keys})
        self.pm = stack.enter_context(running(pm_twin))
        self.configuration, self.log = folder / "gateway.toml", folder / "gateway.log"
        text = _CONFIGURATION.format(folder=folder, cmdb=self.cmdb, pm=self.pm, route=route)
        self.configuration.write_text(text)
        environ = {"GATEWAY_CONFIG": str(self.configuration), "GATEWAY_WORKERS": "2"}
        self.replica = Replica(environ, self.log, application="wsgi:app")
        stack.callback(self.replica.kill)
        self.replica.start()
        self.results: list[tuple[str, HttpResponse]] = []
        self._numbers = count()

    def value(self, name: str, version: str) -> str:
        return self.markers.make(f"{name}-{version}")

    def write(self, name: str, version: str, *, in_place: bool = False) -> None:
        """Write a version of a secret to its file."""
        path = self.folder / name
        target = path if in_place else path.with_suffix(".new")
        target.write_text(self.value(name, version) + "\n")
        target.replace(path)

    def accept(self, *versions: str) -> None:
        """Let the twins accept these versions of the secrets, and the last of the passwords."""
        keys = {self.value("access-key", version): self.value("secret-key", version) for version in versions}
        self._put(self.cmdb, "apps", {"gateway": [self.value("app-secret", version) for version in versions]})
        self._put(self.pm, "access_keys", keys)
        self._put(self.pm, "passwords", {"demo_user_name_06": self.value("password", versions[-1])})

    def _put(self, url: str, path: str, body: object) -> None:
        assert send(url.removeprefix("http://"), "PUT", f"/twin/{path}", body).status == 204

    def send(self, method: str, path: str, body: object = None, **headers: str) -> HttpResponse:
        response = send(self.replica.address, method, path, body, headers)
        self.results.append((f"{method} {path}", response))
        return response

    def create(self, backend: str, **headers: str) -> HttpResponse:
        name = f"m{next(self._numbers)}"
        target = TARGETS["cmdb" if backend == "cmdb" else "projectman"]
        return self.send("POST", "/modules", {"backend": backend, "name": name, **target}, **headers)

    @contextmanager
    def load(self, work: Callable[[str], object]) -> Iterator[None]:
        """Do the work for each connection in two threads each, during a with block."""
        stop = threading.Event()

        def repeat(backend: str) -> None:
            while not stop.is_set():
                work(backend)

        with ThreadPoolExecutor(6) as pool:
            futures = [pool.submit(repeat, backend) for backend in ("cmdb", "pm", "pm-token") * 2]
            try:
                yield
            finally:
                stop.set()
                for future in futures:
                    future.result()

    def failures(self) -> list[Any]:
        """Return the responses that are no success."""
        return [(what, item.status, item.body) for what, item in self.results if item.status >= 300]


@pytest.fixture(params=["esb", "apigw"])
def testbed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RotationTestbed]:
    with ExitStack() as stack:
        yield RotationTestbed(stack, tmp_path, request.param)


def test_secrets_that_are_replaced(testbed: RotationTestbed) -> None:
    """Each secret is replaced while the backend accepts the old and the new one: no request fails.

    The app secret's file changes before the backend accepts the new one. The two files of the access key change one
    after the other, and no mixed pair is sent. The tokens of the old password expire at the end. No secret is logged.
    """

    def create_and_delete(backend: str) -> None:
        location = testbed.create(backend).headers.get("Location", "/modules/none")
        testbed.send("GET", location)
        testbed.send("DELETE", location)

    with testbed.load(create_and_delete):
        sleep(1.0)
        testbed.write("app-secret", "new")
        sleep(3.0)  # every worker has tried it
        testbed.accept("old", "new")
        testbed.write("access-key", "new", in_place=True)
        testbed.write("password", "new")
        sleep(1.5)
        testbed.write("secret-key", "new")
        sleep(10.0)  # until the refused app secret is tried again
        testbed.accept("new")
        send(testbed.pm.removeprefix("http://"), "POST", "/twin/faults", {"fault": "token-expired"})
        sleep(2.0)
    assert testbed.failures() == []
    assert len(testbed.results) > 100
    log = testbed.log.read_text()
    assert log.count("secret file was read again") >= 2 * len(_NAMES)
    assert "APIGW.0301" not in log
    assert list(testbed.markers.leaks(log)) == []


def test_a_connection_that_becomes_read_only(testbed: RotationTestbed) -> None:
    """A reload under load: creates of that connection get the 503, replays and reads go on, and nothing else fails."""
    first = testbed.create("cmdb", **{"Idempotency-Key": "first"})
    path = first.headers["Location"]

    def create_and_read(backend: str) -> None:
        response = testbed.create("cmdb")
        refused.append(response.code)
        assert (response.status, response.code) in {(201, ""), (503, "backend_read_only")}, response
        assert response.code != "backend_read_only" or response.headers["Retry-After"] == "7"
        for read in (
            path,
            f"/modules?backend={backend}&scope={TARGETS['cmdb' if backend == 'cmdb' else 'projectman']['scope']}",
        ):
            assert testbed.send("GET", read).status == 200

    refused: list[str] = []
    with testbed.load(create_and_read):
        sleep(1.0)
        text = testbed.configuration.read_text()
        read_only = 'type = "cmdb"\nmode = "read_only"\nretry_after_seconds = 7'
        testbed.configuration.write_text(text.replace('type = "cmdb"', read_only))
        os.kill(testbed.replica.group, signal.SIGHUP)
        assert eventually(lambda: len(refused) > 50 and set(refused[-20:]) == {"backend_read_only"}, 30)
    assert refused[0] == ""
    body = {"backend": "cmdb", "name": first.body["name"], **TARGETS["cmdb"]}
    again = testbed.send("POST", "/modules", body, **{"Idempotency-Key": "first"})
    assert (again.status, again.headers["Idempotency-Replayed"], again.body) == (201, "true", first.body)
    preview = testbed.send("POST", "/modules?validate_only=true", {**body, "name": "other"}).body
    assert preview["would"] == "refuse"
    assert testbed.send("GET", "/backends/cmdb").body["mode"] == "read_only"
