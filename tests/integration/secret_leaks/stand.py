"""A gateway in which every secret is a marker, in front of both twins and a parrot, on PostgreSQL, with tracing on."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from flask import Flask, Response

from gateway.twins import cmdb, projectman
from gateway.twins.projectman.default_seed import DEFAULT_SEED
from gateway.twins.server import running
from tests.integration.chaos.replica import Replica
from tests.integration.secret_leaks.collector import Collector, collecting
from tests.integration.secret_leaks.markers import Markers
from tests.integration.secret_leaks.parrot import parroting

PROJECT: Final = "0792b7d26cb74bd799cbae80063dc74a"
OWNER: Final = "09d75cde5180d4481f91c018e89cb8e2"
USER: Final = {"domain": {"name": "demo-account"}, "name": "demo_user_name_06"}
#: The connections; a name says which backend it is and how it is asked. Parrots end in -parrot.
CMDB: Final = ("cmdb", "cmdb-own", "cmdb-parrot", "cmdb-own-parrot")
PROJECTMAN: Final = ("pm", "pm-token", "pm-own", "pm-parrot", "pm-token-parrot", "pm-own-parrot")
_ALL: Final = """
hard_timeout_seconds = 1
settle_seconds = 1
"""
_KINDS: Final[Mapping[str, str]] = {
    "cmdb": 'type = "cmdb"\napp_code = "gateway"\napp_secret = "env:APP_SECRET"\nusername = "admin"',
    "cmdb-own": 'type = "cmdb"\napp_code = "gateway"\napp_secret = "env:APP_SECRET"\ncredentials = "passthrough"',
    "pm": 'type = "projectman"\naccess_key = "AKTEST"\nsecret_key = "env:SECRET_KEY"',
    "pm-token": 'type = "projectman"\ncredentials = "token"\niam_url = "{base}"\ndomain = "demo-account"\n'
    'user = "demo_user_name_06"\npassword = "env:PASSWORD"\nproject = "cn-north-4"',
    "pm-own": 'type = "projectman"\ncredentials = "passthrough"',
}


@dataclass
class Stand:
    """What a run works with, and everything that anybody was told."""

    markers: Markers
    address: str
    replica: Replica
    log: Path
    journal_url: str
    collector: Collector
    twins: Mapping[str, str]
    told: list[tuple[str, str]] = field(default_factory=list)

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Ask as a caller with a key of his own; keep whatever comes back."""
        given = {"X-Api-Key": self.markers.make("api-key"), "Content-Type": "application/json", **(headers or {})}
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection = HTTPConnection(self.address, timeout=15)
        try:
            connection.request(method, path, content, {name: value for name, value in given.items() if value})
            reply = connection.getresponse()
            text = reply.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            self.told.append((f"{method} {path}", repr(error)))
            return 0, None
        finally:
            connection.close()
        self.told.append((f"{method} {path}", f"{reply.status} {reply.getheaders()} {text}"))
        with suppress(ValueError):
            return reply.status, json.loads(text)
        return reply.status, text

    def shout(self, lines: bytes) -> None:
        """Send bytes that need be no HTTP, and keep what comes back."""
        with socket.create_connection(self.address.split(":"), timeout=5) as connection:  # type: ignore[arg-type]
            connection.sendall(lines)
            connection.shutdown(socket.SHUT_WR)
            came = b""
            with suppress(OSError):
                while piece := connection.recv(65536):
                    came += piece
        self.told.append((repr(lines[:40]), came.decode(errors="replace")))

    def credentials(self, backend: str) -> dict[str, str]:
        """Return the headers by which a caller acts in a backend himself."""
        if not backend.startswith(("cmdb-own", "pm-own")):
            return {}
        name = "X-Bk-Token" if backend.startswith("cmdb") else "X-Auth-Token"
        return {name: self.markers.make("bk-token" if backend.startswith("cmdb") else "iam-token")}


def draft(backend: str, name: str) -> dict[str, Any]:
    """Return a create that the backend takes."""
    if backend in CMDB:
        return {"backend": backend, "name": name, "scope": "1", "parent": "10", "owners": ["admin"]}
    return {"backend": backend, "name": name, "scope": PROJECT, "owners": [OWNER]}


def configuration(twins: Mapping[str, str], parrot: str, digest: str) -> str:
    """Write the file; it names variables, and the digest of the caller's key."""
    text = '[server]\ndeadline_seconds = 0.5\n[journal]\nurl = "env:JOURNAL"\n[auth]\nmode = "required"\n'
    text += f'[[callers]]\nname = "portal"\napi_key_sha256 = "{digest}"\nallow = ["*:*:*"]\n'
    for name in (*CMDB, *PROJECTMAN):
        base = parrot if name.endswith("-parrot") else twins["cmdb" if name in CMDB else "projectman"]
        kind = _KINDS[name.removesuffix("-parrot")].format(base=base)
        text += f'[backends.{name}]\nbase_url = "{base}"\n{kind}{_ALL}'
    return text


@contextmanager
def match(folder: Path, journal_url: str) -> Iterator[Stand]:
    """Start everything, and end it whatever happens."""
    markers = Markers()
    password = markers.make("journal-password")
    journal = journal_url.replace("postgres:@", f"postgres:{quote(password)}@")
    assert password in journal
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        twins = {
            "cmdb": stack.enter_context(running(cmdb.create_twin(_cmdb_seed(markers)))),
            "projectman": stack.enter_context(running(_projectman(markers))),
        }
        markers.know("iam-token", _own_token(twins["projectman"], markers.make("password")))
        digest = hashlib.sha256(markers.make("api-key").encode()).hexdigest()
        written = folder / "gateway.toml"
        written.write_text(configuration(twins, stack.enter_context(parroting()), digest))
        environ = {
            "GATEWAY_CONFIG": str(written),
            "GATEWAY_WORKERS": "2",
            "JOURNAL": journal,
            "APP_SECRET": markers.make("app-secret"),
            "SECRET_KEY": markers.make("secret-key"),
            "PASSWORD": markers.make("password"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "figures"),
        }
        (folder / "figures").mkdir()
        replica = Replica(environ, folder / "gateway.log", application="tests.integration.secret_leaks.app:app")
        stack.callback(replica.kill)
        replica.start()
        yield Stand(markers, replica.address, replica, folder / "gateway.log", journal, collector, twins)


def workers(replica: Replica) -> list[int]:
    """Return the processes that answer."""
    listed = Path(f"/proc/{replica.group}/task/{replica.group}/children").read_text()
    return [int(pid) for pid in listed.split()]


def _cmdb_seed(markers: Markers) -> dict[str, Any]:
    token = markers.make("bk-token")
    return {"apps": {"gateway": markers.make("app-secret")}, "users": {"admin": {"token": token}, "tom": {}}}


def _projectman_seed(markers: Markers) -> dict[str, Any]:
    users: Any = DEFAULT_SEED["iam_users"]
    keys = {"AKTEST": markers.make("secret-key")}
    return {**DEFAULT_SEED, "iam_users": [{**users[0], "password": markers.make("password")}], "access_keys": keys}


def _projectman(markers: Markers) -> Flask:
    """Make a twin of which every token that it issues is watched for."""
    twin = projectman.create_twin(_projectman_seed(markers))

    @twin.after_request
    def watch(response: Response) -> Response:
        if token := response.headers.get("X-Subject-Token"):
            markers.know(f"token-{len(markers.values)}", token)
        return response

    return twin


def _own_token(url: str, password: str) -> str:
    """Log in as a caller does who acts for himself."""
    identity = {"methods": ["password"], "password": {"user": {**USER, "password": password}}}
    body = json.dumps({"auth": {"identity": identity, "scope": {"project": {"name": "cn-north-4"}}}}).encode()
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=5)) as connection:
        connection.request("POST", "/v3/auth/tokens", body, {"Content-Type": "application/json"})
        return str(connection.getresponse().headers["X-Subject-Token"])


def signal_worker(pid: int, number: int) -> None:
    """Send a worker of ours a signal; it may have gone by itself."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
