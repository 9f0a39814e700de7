"""Runs a gateway whose secrets are markers, with both twins, an echo backend, PostgreSQL and tracing."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from flask import Flask, Response

from gateway.twins import cmdb, projectman
from gateway.twins.projectman.default_seed import DEFAULT_SEED
from gateway.twins.server import running
from tests.integration.chaos.replica import Replica
from tests.integration.http_client import CONNECTION_ERRORS, send
from tests.integration.secret_leaks.echo_servers import create_collector, create_echo_backend
from tests.integration.secret_leaks.secret_markers import SecretMarkers

PROJECT: Final = "0792b7d26cb74bd799cbae80063dc74a"
OWNER: Final = "09d75cde5180d4481f91c018e89cb8e2"
USER: Final = {"domain": {"name": "demo-account"}, "name": "demo_user_name_06"}
#: Connections; a name has the type and the kind of credentials; those to the echo backend end in -echo.
CMDB: Final = ("cmdb", "cmdb-own", "cmdb-echo", "cmdb-own-echo")
PROJECTMAN: Final = ("pm", "pm-token", "pm-own", "pm-echo", "pm-token-echo", "pm-own-echo")
_TIMEOUTS: Final = """
hard_timeout_seconds = 1
settle_seconds = 1
"""
_CONNECTION_SETTINGS: Final[Mapping[str, str]] = {
    "cmdb": 'type = "cmdb"\napp_code = "gateway"\napp_secret = "env:APP_SECRET"\nusername = "admin"',
    "cmdb-own": 'type = "cmdb"\napp_code = "gateway"\napp_secret = "env:APP_SECRET"\ncredentials = "passthrough"',
    "pm": 'type = "projectman"\naccess_key = "AKTEST"\nsecret_key = "env:SECRET_KEY"',
    "pm-token": 'type = "projectman"\ncredentials = "token"\niam_url = "{base}"\ndomain = "demo-account"\n'
    'user = "demo_user_name_06"\npassword = "env:PASSWORD"\nproject = "cn-north-4"',
    "pm-own": 'type = "projectman"\ncredentials = "passthrough"',
}


@dataclass
class LeakTestbed:
    """The running processes, and the text of every response."""

    markers: SecretMarkers
    address: str
    replica: Replica
    log: Path
    journal_url: str
    exported: list[bytes]  # bodies that the trace exporter sent
    twins: Mapping[str, str]
    responses: list[tuple[str, str]] = field(default_factory=list)

    def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request with the caller's API key and record the response."""
        all_headers = {"X-Api-Key": self.markers.make("api-key"), "Content-Type": "application/json", **(headers or {})}
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        try:
            with closing(HTTPConnection(self.address, timeout=15)) as connection:
                connection.request(method, path, content, {name: value for name, value in all_headers.items() if value})
                response = connection.getresponse()
                text = response.read().decode(errors="replace")
        except CONNECTION_ERRORS as error:
            self.responses.append((f"{method} {path}", repr(error)))
            return 0, None
        self.responses.append((f"{method} {path}", f"{response.status} {response.getheaders()} {text}"))
        with suppress(ValueError):
            return response.status, json.loads(text)
        return response.status, text

    def send_raw(self, content: bytes) -> None:
        """Send bytes and record the response."""
        with socket.create_connection(self.address.split(":"), timeout=5) as connection:  # type: ignore[arg-type]
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            with suppress(OSError):
                while chunk := connection.recv(65536):
                    received += chunk
        self.responses.append((repr(content[:40]), received.decode(errors="replace")))

    def credentials(self, backend: str) -> dict[str, str]:
        """Return the caller's own backend credentials as headers, if the connection passes them through."""
        if "-own" not in backend:
            return {}
        header, secret = ("X-Bk-Token", "bk-token") if backend in CMDB else ("X-Auth-Token", "iam-token")
        return {header: self.markers.make(secret)}


def draft(backend: str, name: str) -> dict[str, Any]:
    """Return the body of a valid create."""
    if backend in CMDB:
        return {"backend": backend, "name": name, "scope": "1", "parent": "10", "owners": ["admin"]}
    return {"backend": backend, "name": name, "scope": PROJECT, "owners": [OWNER]}


def configuration(twins: Mapping[str, str], echo_url: str, digest: str) -> str:
    """Return the configuration file; secrets are environment variables, the API key is a digest."""
    text = '[server]\ndeadline_seconds = 0.5\n[journal]\nurl = "env:JOURNAL"\n[auth]\nmode = "required"\n'
    text += f'[[callers]]\nname = "portal"\napi_key_sha256 = "{digest}"\nallow = ["*:*:*"]\n'
    for name in (*CMDB, *PROJECTMAN):
        base = echo_url if name.endswith("-echo") else twins["cmdb" if name in CMDB else "projectman"]
        settings = _CONNECTION_SETTINGS[name.removesuffix("-echo")].format(base=base)
        text += f'[backends.{name}]\nbase_url = "{base}"\n{settings}{_TIMEOUTS}'
    return text


@contextmanager
def run_testbed(folder: Path, journal_url: str) -> Iterator[LeakTestbed]:
    """Run all processes during a with block."""
    markers = SecretMarkers()
    password = markers.make("journal-password")
    journal = journal_url.replace("postgres:@", f"postgres:{quote(password)}@")
    assert password in journal
    with ExitStack() as stack:
        exported: list[bytes] = []
        users = {"admin": {"token": markers.make("bk-token")}, "tom": {}}
        cmdb_seed = {"apps": {"gateway": markers.make("app-secret")}, "users": users}
        collector, echo_backend = create_collector(exported), create_echo_backend()
        apps = (cmdb.create_twin(cmdb_seed), _create_projectman_twin(markers), echo_backend, collector)
        cmdb_url, projectman_url, echo_url, collector_url = (stack.enter_context(running(app)) for app in apps)
        twins = {"cmdb": cmdb_url, "projectman": projectman_url}
        markers.values["iam-token"] = _issue_token(projectman_url, markers.make("password"))
        digest = hashlib.sha256(markers.make("api-key").encode()).hexdigest()
        path = folder / "gateway.toml"
        path.write_text(configuration(twins, echo_url, digest))
        environ = {
            "GATEWAY_CONFIG": str(path),
            "GATEWAY_WORKERS": "2",
            "JOURNAL": journal,
            "APP_SECRET": markers.make("app-secret"),
            "SECRET_KEY": markers.make("secret-key"),
            "PASSWORD": markers.make("password"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector_url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        replica = Replica(environ, folder / "gateway.log", application="tests.integration.secret_leaks.app:app")
        stack.callback(replica.kill)
        replica.start()
        yield LeakTestbed(markers, replica.address, replica, folder / "gateway.log", journal, exported, twins)


def _create_projectman_twin(markers: SecretMarkers) -> Flask:
    """Create a twin whose issued tokens are added to the markers."""
    users: Any = DEFAULT_SEED["iam_users"]
    user = {**users[0], "password": markers.make("password")}
    keys = {"AKTEST": markers.make("secret-key")}
    twin = projectman.create_twin({**DEFAULT_SEED, "iam_users": [user], "access_keys": keys})

    @twin.after_request
    def add_token(response: Response) -> Response:
        if token := response.headers.get("X-Subject-Token"):
            markers.values[f"token-{len(markers.values)}"] = token
        return response

    return twin


def _issue_token(url: str, password: str) -> str:
    """Return a token that a caller gets from IAM with its password."""
    identity = {"methods": ["password"], "password": {"user": {**USER, "password": password}}}
    body = {"auth": {"identity": identity, "scope": {"project": {"name": "cn-north-4"}}}}
    return send(url.removeprefix("http://"), "POST", "/v3/auth/tokens", body).headers["X-Subject-Token"]
