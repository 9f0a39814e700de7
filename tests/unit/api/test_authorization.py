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
from gateway.domain.journal import Journal
from gateway.domain.operation import State
from gateway.twins.cmdb import create_twin as cmdb_twin
from gateway.twins.projectman import create_twin as projectman_twin
from gateway.twins.server import running
from tests.unit.api.callers import auth, caller, key
from tests.unit.backends.connections import OWNER, PROJECT, cmdb_options, projectman_options
from tests.unit.journals.records import make_claim, make_settlement

pytestmark = pytest.mark.loopback

#: connection: a scope that exists and one that does not.
SCOPES: Final[Mapping[str, tuple[str, str]]] = {
    "cmdb": ("1", "999"),
    "cmdb-2": ("1", "2"),
    "pm": (PROJECT, "f" * 32),
}
ACTIONS: Final = ("create", "read", "update", "delete")
#: `*` does not stand for these.
NAMED_ACTIONS: Final = ("operate", "audit")


class RequestCase(NamedTuple):
    """A request; `adopt` and `preview` are creates with a query parameter, `async` is one with Prefer.

    Those of HIDING concern an ambiguous create of another caller.
    """

    kind: str
    connection: str
    scope: str


NEEDS: Final = {
    "create": ("create",), "adopt": ("create", "read"), "preview": ("create",), "async": ("create",),
    "list": ("read",), "get": ("read",), "update": ("update",), "delete": ("delete",),
    "parents": ("read or create",), "owners": ("read or create",),
    "operations": ("operate",), "operation": ("operate",), "resolve": ("operate",), "changes": ("audit",),
}  # fmt: skip
#: These show what others did, and hide it from a caller that may not see it.
HIDING: Final = ("operations", "operation", "resolve", "changes")


def oracle(allow: list[str], case: RequestCase) -> str:
    """Return the expected result: *allowed*, *forbidden*, *hidden*, or *unknown* for an invisible connection."""
    rules = [rule.split(":") for rule in allow]
    is_hidden = case.kind in HIDING
    if all(rule[1] not in ("*", case.connection) for rule in rules):
        return "hidden" if is_hidden else "unknown"
    for action in NEEDS[case.kind]:
        names = ("*", action) if action in ACTIONS else tuple(action.split(" or "))
        names = ("*", *names) if "read" in names else names
        matching = [r for r in rules if not {*names}.isdisjoint(r[0].split(","))]
        matching = [r for r in matching if r[1] in ("*", case.connection) and r[2] in ("*", case.scope)]
        if not matching:
            return "hidden" if is_hidden else "forbidden"
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
    st.lists(st.sampled_from([*ACTIONS, *NAMED_ACTIONS, "*"]), min_size=1, max_size=3, unique=True).map(",".join),
    st.sampled_from(["*", *SCOPES]).flatmap(
        lambda name: st.tuples(st.just(name), st.sampled_from(["*", *SCOPES.get(name, ("1", PROJECT))]))
    ),
)
_REQUESTS = st.sampled_from(
    [RequestCase(kind, name, scope) for kind in NEEDS for name, scopes in SCOPES.items() for scope in scopes]
)


@pytest.fixture
def _others(journal: Journal) -> None:
    """An ambiguous create of another caller in each scope, and its entry in the change log."""
    for name, scopes in SCOPES.items():
        for scope in scopes:
            draft = {"draft": {"name": "portal", "scope": scope, "attributes": {}}}
            claim = make_claim(id=f"{name}-{scope}", backend=name, draft=draft, natural_key=(scope, "portal"))
            journal.claim(claim)
            journal.settle(claim.id, make_settlement(State.AMBIGUOUS))
    journal.publish_changes(100)


def _send(client: FlaskClient, case: RequestCase) -> Any:
    native_ref = "10.7" if case.connection.startswith("cmdb") else "7"
    path = f"/modules/{case.connection}.{case.scope}.{native_ref}"
    fields: dict[str, Any] = {"parent": "10"} if case.connection.startswith("cmdb") else {"owners": [OWNER]}
    body = {"backend": case.connection, "scope": case.scope, "name": "portal", **fields}
    headers = key("portal")
    operation, target = f"/operations/{case.connection}-{case.scope}", f"backend={case.connection}&scope={case.scope}"
    requests: dict[str, tuple[str, str, Any]] = {
        "list": ("GET", f"/modules?{target}", None),
        "get": ("GET", path, None),
        "update": ("PATCH", path, {"name": "else"}),
        "delete": ("DELETE", path, None),
        "parents": ("GET", f"/backends/{case.connection}/scopes/{case.scope}/parents", None),
        "owners": ("GET", f"/backends/{case.connection}/scopes/{case.scope}/owners", None),
        "operations": ("GET", "/operations?state=ambiguous", None),
        "operation": ("GET", operation, None),
        "resolve": ("POST", f"{operation}:resolve", {"verdict": "none"}),
        "changes": ("GET", "/changes?page_size=100", None),
        "adopt": ("POST", "/modules?if_exists=adopt", body),
        "preview": ("POST", "/modules?validate_only=true", body),
    }
    method, url, document = requests.get(case.kind, ("POST", "/modules", body))
    prefer = {"Prefer": "respond-async"} if case.kind == "async" else {}
    arguments = {} if document is None else {"json": document}
    return client.open(url, method=method, headers={**headers, **prefer}, **arguments)


def _result(case: RequestCase, response: Any) -> str:
    """Return what the oracle calls this response."""
    document = response.get_json(silent=True) or {}
    code = "" if response.status_code < 400 else document["code"]
    if case.kind not in HIDING:
        unknown = dict.fromkeys(("backend_unknown", "module_not_found", "not_found"), "unknown")
        return {"forbidden": "forbidden", **unknown}.get(code, "allowed")
    if code:  # the body of an allowed verdict is refused
        return "allowed" if code == "validation_failed" else "hidden"
    entries = document.get("operations", document.get("changes", [document]))
    shown = [entry.get("operation", entry.get("id")) for entry in entries]
    return "allowed" if f"{case.connection}-{case.scope}" in shown else "hidden"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(allow=st.lists(_RULES, min_size=1, max_size=4), cases=st.lists(_REQUESTS, min_size=1, max_size=4))
@pytest.mark.usefixtures("_others")
def test_oracle(connections: Connections, build: Any, allow: list[str], cases: list[RequestCase]) -> None:
    """For random allow-lists and requests, the result equals the oracle's; no forbidden request reaches a backend."""
    app: Flask = build(connections.backends, auth(caller("portal", *allow)))
    client = app.test_client()
    for case in cases:
        before = connections.request_count()
        response = _send(client, case)
        expected = oracle(allow, case)
        is_missing = response.status_code == 404 and response.get_json()["code"] == "module_not_found"
        if is_missing and expected == "allowed":
            continue  # the caller may read it, but it does not exist
        assert _result(case, response) == expected, (case, response.status_code, response.get_data())
        if expected != "allowed" or case.kind in HIDING:
            assert connections.request_count() == before, case


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
