"""Both adapters over their twins while the backend and the file get another secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from gateway.backends.cmdb import create_backend as create_cmdb
from gateway.backends.projectman import create_backend as create_projectman
from gateway.backends.projectman.options import AccessKey, IamPassword
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import BackendRejectedCredentials, BackendUnavailable, GatewayError
from gateway.domain.module import ModuleDraft
from gateway.settings import FileSecret
from gateway.twins import cmdb, projectman
from gateway.twins.server import running
from tests.conftest import VirtualClock
from tests.unit.backends.connections import OWNER, PROJECT, cmdb_options, projectman_options

pytestmark = pytest.mark.loopback

KINDS: Final = ("esb", "apigw", "aksk", "token")
_USER: Final = "demo_user_name_06"


class Connection:
    """A backend whose secrets are files, and its twin."""

    def __init__(self, kind: str, url: str, folder: Path, clock: VirtualClock) -> None:
        self.kind, self.url, self.folder, self.clock = kind, url, folder, clock
        self.write("one")
        if kind in {"esb", "apigw"}:
            options = cmdb_options(url, kind, app_secret=self._secret("secret"))
            self.backend: Backend = create_cmdb("cmdb", options, clock)
            self.draft = ModuleDraft(scope="1", parent="10", name="web")
        else:
            auth: Any = AccessKey(access_key=self._secret("key"), secret_key=self._secret("secret"))
            if kind == "token":
                auth = IamPassword(
                    iam_url=url,
                    domain="demo-account",
                    user=_USER,
                    password=self._secret("secret"),
                    project="cn-north-4",
                )
            self.backend = create_projectman("pm", projectman_options(url, auth=auth), clock)
            self.draft = ModuleDraft(scope=PROJECT, parent=None, name="web", owners=(OWNER,))

    def _secret(self, name: str) -> FileSecret:
        path = self.folder / name
        return FileSecret(str(path), path.read_text, monotonic=self.clock.monotonic, sleep=self.clock.sleep)

    def write(self, version: str) -> None:
        (self.folder / "key").write_text(f"AK-{version}")
        (self.folder / "secret").write_text(f"secret-{version}")

    def accept(self, version: str) -> None:
        """Let the twin accept one version only."""
        bodies = {
            "apps": {"gateway": f"secret-{version}"},
            "access_keys": {f"AK-{version}": f"secret-{version}"},
            "passwords": {_USER: f"secret-{version}"},
        }
        for name in ("apps",) if self.kind in {"esb", "apigw"} else ("access_keys", "passwords"):
            requests.put(f"{self.url}/twin/{name}", json=bodies[name], timeout=5).raise_for_status()

    def create(self) -> str:
        return self.backend.create(self.draft, CallContext("r", self.clock.monotonic() + 30.0)).name

    def arrived(self) -> int:
        """Return how many creates and requests for tokens have arrived at the twin."""
        counts = requests.get(f"{self.url}/twin/requests", timeout=5).json()
        return int(counts.get("create_module", 0) + counts.get("issue_token", 0))


@pytest.fixture(params=KINDS)
def connection(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> Iterator[Connection]:
    create: Callable[..., Any] = cmdb.create_twin if request.param in {"esb", "apigw"} else projectman.create_twin
    with running(create(clock=lambda: datetime.fromtimestamp(clock.now(), UTC))) as url:
        connection = Connection(request.param, url, tmp_path, clock)
        connection.accept("one")
        yield connection


def test_a_write_whose_secret_was_replaced_is_sent_again_once(connection: Connection) -> None:
    """The backend refused it before it could apply it: the repeated create succeeds, with the secret in the file."""
    connection.accept("two")
    connection.write("two")
    assert connection.create() == "web"
    ledger = requests.get(f"{connection.url}/twin/ledger", timeout=5).json()["writes"]
    assert len(ledger) == 1


def test_a_wrong_secret_is_sent_once(connection: Connection, clock: VirtualClock) -> None:
    """Later requests fail without being sent, until the file changes: no key and no user is locked."""
    connection.accept("two")
    connection.write("three")
    errors: set[type[GatewayError]] = set()
    for _ in range(20):
        with pytest.raises((BackendRejectedCredentials, BackendUnavailable)) as caught:
            connection.create()
        errors.add(caught.type)
        clock.seconds += 0.1
    assert errors == {BackendRejectedCredentials}
    assert connection.arrived() == 2  # with the old secret and with the one in the file
    connection.write("two")
    clock.seconds += 1.0
    with pytest.raises(BackendRejectedCredentials):
        connection.create()
    clock.seconds += 1.0
    assert connection.create() == "web"


@pytest.mark.parametrize("route", ["esb", "apigw"])
def test_a_refused_user_does_not_stop_the_others(route: Any, clock: VirtualClock) -> None:
    """The token of one caller is refused; the requests of other callers are sent."""
    with running(cmdb.create_twin({"apps": {"gateway": "canary-app-secret"}, "users": {"tom": {"token": "t"}}})) as url:
        backend = create_cmdb("cmdb", cmdb_options(url, route, passthrough=True), clock)
        draft = ModuleDraft(scope="1", parent="10", name="web")
        for _ in range(3):
            with pytest.raises(BackendRejectedCredentials):
                backend.create(draft, CallContext("r", clock.monotonic() + 30.0, credential="wrong"))
        assert backend.create(draft, CallContext("r", clock.monotonic() + 30.0, credential="t")).name == "web"
