"""Either twin behind one face, spoken to over raw sockets so that every byte, and how a connection ends, is seen."""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final

from gateway.twins import cmdb, projectman
from gateway.twins.projectman.default_seed import DEMO_PROJECT, DEMO_USER
from gateway.twins.server import running

AUTHORIZATION: Final = json.dumps({"bk_app_code": "portal", "bk_app_secret": "s", "bk_username": "tom"})
ESB: Final = "/api/c/compapi/v2/cc"


@dataclass(frozen=True)
class Received:
    """All bytes that came, and whether the connection ended with a FIN (False) or with a RST (True)."""

    raw: bytes
    was_reset: bool = False

    @property
    def status(self) -> int:
        return int(self.raw.split(maxsplit=2)[1])

    @property
    def head(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode().splitlines()[1:]
        pairs = (line.split(": ", 1) for line in lines)
        return {name.lower(): value for name, value in pairs}

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Shape:
    """How one backend wants to be asked."""

    create_path: str
    list_call: tuple[str, str, Any]
    draft: Callable[[str], dict[str, Any]]
    names: Callable[[Any], list[str]]
    create_operation: str


CMDB: Final = Shape(
    create_path="/api/v3/module/1/10",
    list_call=("POST", "/api/v3/module/search/0/1/10", {}),
    draft=lambda name: {"bk_parent_id": 10, "bk_module_name": name},
    names=lambda told: [each["bk_module_name"] for each in told["data"]["info"]],
    create_operation="create_module",
)
PROJECTMAN: Final = Shape(
    create_path=f"/v4/projects/{DEMO_PROJECT}/module",
    list_call=("GET", f"/v4/projects/{DEMO_PROJECT}/modules?offset=0&limit=100", None),
    draft=lambda name: {"module_name": name, "owner": {"user_id": DEMO_USER}},
    names=lambda told: [each["module_name"] for each in told["modules"] if each["module_name"] != "platform"],
    create_operation="create",
)


@dataclass(frozen=True)
class Stand:
    """A twin that is being served."""

    url: str
    shape: Shape
    headers: Mapping[str, str]

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Received:
        """Send one request and read until the connection ends."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: twin", f"Content-Length: {len(content)}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in {**self.headers, **headers}.items()]
        received = b""
        with socket.create_connection(self.address, timeout=5) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)
            try:
                while piece := connection.recv(65536):
                    received += piece
            except ConnectionResetError:
                return Received(received, was_reset=True)
        return Received(received)

    def create(self, name: str, **headers: str) -> Received:
        return self.send("POST", self.shape.create_path, self.shape.draft(name), **headers)

    def listed(self) -> list[str]:
        """What a read shows, without what the seed has laid."""
        method, path, body = self.shape.list_call
        return self.shape.names(self.send(method, path, body).json)

    def order(self, *orders: Mapping[str, Any]) -> None:
        assert self.send("POST", "/twin/faults", list(orders)).status == 201

    def twin(self, what: str) -> Any:
        """Ask the twin itself."""
        connection = HTTPConnection(*self.address, timeout=5)
        connection.request("GET", f"/twin/{what}")
        told = json.load(connection.getresponse())
        connection.close()
        return told

    def written(self) -> list[tuple[str, list[str]]]:
        """The ledger: names and the faults that struck."""
        return [(each["natural_key"][-1], each.get("faults", [])) for each in self.twin("ledger")["writes"]]

    def attempted(self) -> list[str]:
        return [each["name"] for each in self.twin("attempts")["attempts"]]


def eventually(question: Callable[[], object], expected: object) -> None:
    """Ask until the answer is as expected; give up after five seconds."""
    until = time.monotonic() + 5
    while (answer := question()) != expected and time.monotonic() < until:
        time.sleep(0.01)
    assert answer == expected


@contextmanager
def cmdb_stand(seed: Mapping[str, object] | None = None) -> Iterator[Stand]:
    with running(cmdb.create_twin(seed)) as url:
        yield Stand(url, CMDB, {"X-Bkapi-Authorization": AUTHORIZATION, "X-Bkcmdb-Language": "en"})


@contextmanager
def projectman_stand(seed: Mapping[str, object] | None = None) -> Iterator[Stand]:
    with running(projectman.create_twin(seed)) as url:
        stand = Stand(url, PROJECTMAN, {})
        yield Stand(url, PROJECTMAN, {"X-Auth-Token": token(stand)})


def token(stand: Stand) -> str:
    user = {"domain": {"name": "demo-account"}, "name": "demo_user_name_06", "password": "demo-password"}
    asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    return stand.send("POST", "/v3/auth/tokens", asked).head["x-subject-token"]


STANDS: Final = {"cmdb": cmdb_stand, "projectman": projectman_stand}
