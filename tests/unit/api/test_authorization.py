"""Allow-lists against an oracle: what is answered, and that nothing forbidden ever reaches a backend.

The backends are the real adapters over the two twins, and the twins count what arrives.
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
from tests.contract.fixtures import cmdb as cmdb_stand
from tests.contract.fixtures import projectman as projectman_stand
from tests.unit.api.callers import auth, caller, key

pytestmark = pytest.mark.loopback
PROJECT: Final = projectman_stand.PROJECT
#: connection: its scopes (one that is there, one that is not), and the rest of an id in each.
SCOPES: Final[Mapping[str, tuple[str, str]]] = {
    "cmdb": ("1", "999"),
    "cmdb-2": ("1", "2"),
    "pm": (PROJECT, "f" * 32),
}
ACTIONS: Final = ("create", "read", "update", "delete")


class Ask(NamedTuple):
    """One request: `list` and `get` are reads, `adopt` is a create that reads, `preview` a create that writes not."""

    way: str
    connection: str
    scope: str


NEEDS: Final = {
    "create": ("create",), "adopt": ("create", "read"), "preview": ("create",), "async": ("create",),
    "list": ("read",), "get": ("read",), "update": ("update",), "delete": ("delete",),
}  # fmt: skip


def oracle(allow: list[str], ask: Ask) -> str:
    """Say what must come of a request: *allowed*, *forbidden*, *unknown* where there is no such connection for him."""
    rules = [rule.split(":") for rule in allow]
    if all(rule[1] not in ("*", ask.connection) for rule in rules):
        return "unknown"
    for action in NEEDS[ask.way]:
        covering = [r for r in rules if r[0] == "*" or action in r[0].split(",")]
        covering = [r for r in covering if r[1] in ("*", ask.connection) and r[2] in ("*", ask.scope)]
        if not covering:
            return "forbidden"
    return "allowed"


@dataclass
class World:
    """Both twins, connected."""

    backends: Mapping[str, Backend]
    urls: tuple[str, ...]

    def arrived(self) -> int:
        """Count the requests that the twins have seen."""
        return sum(_total(_fetch(f"{url}/twin/requests")) for url in self.urls)


def _fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 - a twin on the loopback
        return json.load(reply)


def _total(told: Any) -> int:
    if isinstance(told, Mapping):
        return sum(map(_total, told.values()))
    return told if isinstance(told, int) else 0


@pytest.fixture(scope="module")
def _opened() -> Iterator[World]:
    """Open both twins once: what a request leaves behind is never what another one proves."""
    with ExitStack() as stack:
        one, two = (stack.enter_context(running(twin())) for twin in (cmdb_twin, projectman_twin))
        clock = SystemClock()
        yield World(
            {
                "cmdb": cmdb.create_backend("cmdb", cmdb_stand.options(one), clock),
                "cmdb-2": cmdb.create_backend("cmdb-2", cmdb_stand.options(one, "apigw"), clock),
                "pm": projectman.create_backend("pm", projectman_stand.options(two), clock),
            },
            (one, two),
        )


@pytest.fixture
def world(request: pytest.FixtureRequest, socket_enabled: None) -> World:
    """The same, once the test may open sockets."""
    opened: World = request.getfixturevalue("_opened")
    return opened


_RULES = st.builds(
    lambda actions, place: f"{actions}:{place[0]}:{place[1]}",
    st.just("*") | st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=3, unique=True).map(",".join),
    st.sampled_from(["*", *SCOPES]).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(["*", *SCOPES.get(name, ("1", PROJECT))]))
    ),
)
_ASKS = st.sampled_from([Ask(way, name, scope) for way in NEEDS for name, scopes in SCOPES.items() for scope in scopes])


def _send(client: FlaskClient, ask: Ask) -> Any:
    rest = "10.7" if ask.connection.startswith("cmdb") else "7"
    address = f"/modules/{ask.connection}.{ask.scope}.{rest}"
    own: dict[str, Any] = (
        {"parent": "10"} if ask.connection.startswith("cmdb") else {"owners": [projectman_stand.OWNER]}
    )
    body = {"backend": ask.connection, "scope": ask.scope, "name": "somebody", **own}
    headers = key("somebody")
    if ask.way == "list":
        return client.get("/modules", query_string={"backend": ask.connection, "scope": ask.scope}, headers=headers)
    if ask.way == "get":
        return client.get(address, headers=headers)
    if ask.way == "update":
        return client.patch(address, json={"name": "else"}, headers=headers)
    if ask.way == "delete":
        return client.delete(address, headers=headers)
    query = {"adopt": {"if_exists": "adopt"}, "preview": {"validate_only": "true"}}.get(ask.way, {})
    more = {"Prefer": "respond-async"} if ask.way == "async" else {}
    return client.post("/modules", json=body, query_string=query, headers={**headers, **more})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(allow=st.lists(_RULES, min_size=1, max_size=4), asks=st.lists(_ASKS, min_size=1, max_size=4))
def test_answers_equal_the_oracle(world: World, build: Any, allow: list[str], asks: list[Ask]) -> None:
    """For random allow-lists and requests: the answer is the oracle's, and what is forbidden reaches no backend."""
    app: Flask = build(world.backends, auth(caller("somebody", *allow)))
    client = app.test_client()
    for ask in asks:
        before = world.arrived()
        response = _send(client, ask)
        code = None if response.status_code < 400 else response.get_json()["code"]
        told = {"forbidden": "forbidden", "backend_unknown": "unknown", "module_not_found": "unknown"}.get(
            str(code), "allowed"
        )
        expected = oracle(allow, ask)
        if code == "module_not_found" and expected == "allowed":
            continue  # he may ask for it, and it is not there
        assert told == expected, (ask, response.status_code, code)
        if expected != "allowed":
            assert world.arrived() == before, (ask, code)


@given(allow=st.lists(_RULES, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_known_connections_are_listed(world: World, build: Any, allow: list[str]) -> None:
    """/backends shows a caller the connections that his list names, and no others; neither does their own address."""
    client = build(world.backends, auth(caller("somebody", *allow))).test_client()
    listed = {each["name"] for each in client.get("/backends", headers=key("somebody")).get_json()["backends"]}
    named = {rule.split(":")[1] for rule in allow}
    assert listed == ({*SCOPES} if "*" in named else named)
    for name in SCOPES:
        status = client.get(f"/backends/{name}", headers=key("somebody")).status_code
        assert status == (200 if name in listed else 404)
