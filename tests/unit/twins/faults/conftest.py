"""Both twins, served over loopback, and a client over raw sockets that sees every byte and how a connection ends."""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any, Final

import pytest

from gateway.twins import cmdb as cmdb_package
from gateway.twins import projectman as projectman_package
from gateway.twins.projectman.default_seed import DEMO_PROJECT, DEMO_USER
from gateway.twins.server import running

AUTHORIZATION: Final = '{"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "tom"}'
ESB: Final = "/api/c/compapi/v2/cc"


@dataclass(frozen=True)
class RawResponse:
    """All bytes received, and whether the connection ended with FIN (False) or RST (True)."""

    raw: bytes
    was_reset: bool = False

    @property
    def status(self) -> int:
        return int(self.raw.split(maxsplit=2)[1])

    @property
    def headers(self) -> Message:
        return BytesHeaderParser().parsebytes(self.raw.partition(b"\r\n")[2])

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


CLOSED: Final = RawResponse(b"")


@dataclass(frozen=True)
class TwinClient:
    """Client of a running twin, and the requests of its backend."""

    url: str
    headers: Mapping[str, str]
    create_path: str
    list_request: tuple[str, str, Any]
    create_body: Callable[[str], dict[str, Any]]
    names: Callable[[Any], list[str]]

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> RawResponse:
        """Send a request and read until the connection ends."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: twin", f"Content-Length: {len(content)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in {**self.headers, **headers}.items()]
        received = b""
        with socket.create_connection(self.address, timeout=5) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)
            try:
                while chunk := connection.recv(65536):
                    received += chunk
            except ConnectionResetError:
                return RawResponse(received, was_reset=True)
        return RawResponse(received)

    def create(self, name: str, **headers: str) -> RawResponse:
        return self.send("POST", self.create_path, self.create_body(name), **headers)

    def create_module_path(self, name: str) -> str:
        """Create a module and return the path of its update and delete."""
        body = self.create(name).json
        if "data" in body:
            return f"{self.create_path}/{body['data']['bk_module_id']}"
        return f"{self.create_path}s/{body['module_id']}"

    def list_names(self) -> list[str]:
        """Return the names of the modules that were created."""
        return self.names(self.send(*self.list_request).json)

    def add_rules(self, *rules: Mapping[str, Any]) -> None:
        assert self.send("POST", "/twin/faults", list(rules)).status == 201

    def get_control(self, name: str) -> Any:
        return self.send("GET", f"/twin/{name}").json

    def ledger(self) -> list[tuple[str, list[str]]]:
        """Return the names and the faults of the writes that were applied."""
        return [(write["natural_key"][-1], write.get("faults", [])) for write in self.get_control("ledger")["writes"]]

    def attempted_names(self) -> list[str]:
        return [attempt["name"] for attempt in self.get_control("attempts")["attempts"]]


def eventually(function: Callable[[], object], expected: object) -> None:
    """Call the function until it returns the expected value; fail after five seconds."""
    deadline = time.monotonic() + 5
    while (value := function()) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert value == expected


@contextmanager
def cmdb_twin(seed: Mapping[str, object] | None = None) -> Iterator[TwinClient]:
    with running(cmdb_package.create_twin(seed)) as url:
        yield TwinClient(
            url,
            headers={"X-Bkapi-Authorization": AUTHORIZATION, "X-Bkcmdb-Language": "en"},
            create_path="/api/v3/module/1/10",
            list_request=("POST", "/api/v3/module/search/0/1/10", {}),
            create_body=lambda name: {"bk_parent_id": 10, "bk_module_name": name},
            names=lambda body: [row["bk_module_name"] for row in body["data"]["info"]],
        )


@contextmanager
def projectman_twin(seed: Mapping[str, object] | None = None) -> Iterator[TwinClient]:
    with running(projectman_package.create_twin(seed)) as url:
        anonymous = TwinClient(
            url,
            headers={},
            create_path=f"/v4/projects/{DEMO_PROJECT}/module",
            list_request=("GET", f"/v4/projects/{DEMO_PROJECT}/modules?offset=0&limit=100", None),
            create_body=lambda name: {"module_name": name, "owner": {"user_id": DEMO_USER}},
            names=lambda body: [node["module_name"] for node in body["modules"] if node["module_name"] != "platform"],
        )
        yield replace(anonymous, headers=issue_token(anonymous))


def issue_token(client: TwinClient) -> dict[str, str]:
    """Return the header with a new token of the demo user."""
    user = {"domain": {"name": "demo-account"}, "name": "demo_user_name_06", "password": "demo-password"}
    login = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    return {"X-Auth-Token": client.send("POST", "/v3/auth/tokens", login).headers["x-subject-token"]}


TWINS: Final = {"cmdb": cmdb_twin, "projectman": projectman_twin}


@pytest.fixture(params=sorted(TWINS))
def twin(request: pytest.FixtureRequest) -> Iterator[TwinClient]:
    """Each twin in turn."""
    with TWINS[request.param]() as client:
        yield client


@pytest.fixture
def cmdb() -> Iterator[TwinClient]:
    with cmdb_twin() as client:
        yield client


@pytest.fixture
def projectman() -> Iterator[TwinClient]:
    with projectman_twin() as client:
        yield client
