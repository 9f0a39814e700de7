"""Allow-lists against an oracle: the responses, and that no forbidden request reaches a backend.

The backends are the real adapters over the two twins, which count the requests that they receive.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.app import SystemClock
from gateway.backends import cmdb, projectman
from gateway.domain.backend import Backend
from gateway.twins.cmdb import create_twin as cmdb_twin
from gateway.twins.projectman import create_twin as projectman_twin
from gateway.twins.server import running
from tests.unit.api.callers import auth, caller, key
from tests.unit.backends.connections import OWNER, PROJECT, cmdb_options, projectman_options

pytestmark = pytest.mark.loopback

#: connection: a scope that exists and one that does not.
SCOPES: Final[Mapping[str, tuple[str, str]]] = {
    "cmdb": ("1", "999"),
    "cmdb-2": ("1", "2"),
    "pm": (PROJECT, "f" * 32),
}
ACTIONS: Final = ("create", "read", "update", "delete")


class RequestCase(NamedTuple):
    """A request; `adopt` and `preview` are creates with a query parameter, `async` is one with Prefer."""

    kind: str
    connection: str
    scope: str


NEEDS: Final = {
    "create": ("create",), "adopt": ("create", "read"), "preview": ("create",), "async": ("create",),
    "list": ("read",), "get": ("read",), "update": ("update",), "delete": ("delete",),
}  # fmt: skip


def oracle(allow: list[str], case: RequestCase) -> str:
    """Return the expected result: *allowed*, *forbidden*, or *unknown* for an invisible connection."""
    rules = [rule.split(":") for rule in allow]
    if all(rule[1] not in ("*", case.connection) for rule in rules):
        return "unknown"
    for action in NEEDS[case.kind]:
        matching = [r for r in rules if r[0] == "*" or action in r[0].split(",")]
        matching = [r for r in matching if r[1] in ("*", case.connection) and r[2] in ("*", case.scope)]
        if not matching:
            return "forbidden"
    return "allowed"


@dataclass
class Connections:
    """Connections to both twins."""

    backends: Mapping[str, Backend]
    urls: tuple[str, ...]

    def request_count(self) -> int:
        """Return how many requests the twins have received."""
        return sum(_total(_fetch(f"{url}/twin/requests")) for url in self.urls)


def _fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - a twin on the loopback
        return json.load(response)


def _total(document: Any) -> int:
    if isinstance(document, Mapping):
        return sum(map(_total, document.values()))
    return document if isinstance(document, int) else 0


@pytest.fixture(scope="module")
def _connections() -> Iterator[Connections]:
    """Start both twins once; the tests do not depend on modules that earlier requests created."""
    with ExitStack() as stack:
        cmdb_url, projectman_url = (stack.enter_context(running(twin())) for twin in (cmdb_twin, projectman_twin))
        clock = SystemClock()
        yield Connections(
            {
                "cmdb": cmdb.create_backend("cmdb", cmdb_options(cmdb_url), clock),
                "cmdb-2": cmdb.create_backend("cmdb-2", cmdb_options(cmdb_url, "apigw"), clock),
                "pm": projectman.create_backend("pm", projectman_options(projectman_url), clock),
            },
            (cmdb_url, projectman_url),
        )


@pytest.fixture
def connections(request: pytest.FixtureRequest, socket_enabled: None) -> Connections:
    """The connections, for a test that may open sockets."""
    running_twins: Connections = request.getfixturevalue("_connections")
    return running_twins


_RULES = st.builds(
    lambda actions, target: f"{actions}:{target[0]}:{target[1]}",
    st.just("*") | st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=3, unique=True).map(",".join),
    st.sampled_from(["*", *SCOPES]).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(["*", *SCOPES.get(name, ("1", PROJECT))]))
    ),
)
_REQUESTS = st.sampled_from(
    [RequestCase(kind, name, scope) for kind in NEEDS for name, scopes in SCOPES.items() for scope in scopes]
)


def _send(client: FlaskClient, case: RequestCase) -> Any:
    native_ref = "10.7" if case.connection.startswith("cmdb") else "7"
    path = f"/modules/{case.connection}.{case.scope}.{native_ref}"
    fields: dict[str, Any] = {"parent": "10"} if case.connection.startswith("cmdb") else {"owners": [OWNER]}
    body = {"backend": case.connection, "scope": case.scope, "name": "portal", **fields}
    headers = key("portal")
    if case.kind == "list":
        return client.get("/modules", query_string={"backend": case.connection, "scope": case.scope}, headers=headers)
    if case.kind == "get":
        return client.get(path, headers=headers)
    if case.kind == "update":
        return client.patch(path, json={"name": "else"}, headers=headers)
    if case.kind == "delete":
        return client.delete(path, headers=headers)
    query = {"adopt": {"if_exists": "adopt"}, "preview": {"validate_only": "true"}}.get(case.kind, {})
    prefer = {"Prefer": "respond-async"} if case.kind == "async" else {}
    return client.post("/modules", json=body, query_string=query, headers={**headers, **prefer})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(allow=st.lists(_RULES, min_size=1, max_size=4), cases=st.lists(_REQUESTS, min_size=1, max_size=4))
def test_oracle(connections: Connections, build: Any, allow: list[str], cases: list[RequestCase]) -> None:
    """For random allow-lists and requests, the result equals the oracle's; no forbidden request reaches a backend."""
    app: Flask = build(connections.backends, auth(caller("portal", *allow)))
    client = app.test_client()
    for case in cases:
        before = connections.request_count()
        response = _send(client, case)
        code = None if response.status_code < 400 else response.get_json()["code"]
        result = {"forbidden": "forbidden", "backend_unknown": "unknown", "module_not_found": "unknown"}.get(
            str(code), "allowed"
        )
        expected = oracle(allow, case)
        if code == "module_not_found" and expected == "allowed":
            continue  # the caller may read it, but it does not exist
        assert result == expected, (case, response.status_code, code)
        if expected != "allowed":
            assert connections.request_count() == before, (case, code)


@given(allow=st.lists(_RULES, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_visible_connections(connections: Connections, build: Any, allow: list[str]) -> None:
    """/backends and /backends/{name} show exactly the connections that the allow-list names."""
    client = build(connections.backends, auth(caller("portal", *allow))).test_client()
    listed = {backend["name"] for backend in client.get("/backends", headers=key("portal")).get_json()["backends"]}
    allowed = {rule.split(":")[1] for rule in allow}
    assert listed == ({*SCOPES} if "*" in allowed else allowed)
    for name in SCOPES:
        status = client.get(f"/backends/{name}", headers=key("portal")).status_code
        assert status == (200 if name in listed else 404)
