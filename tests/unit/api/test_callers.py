"""Who is let in, in whose name things are done, and whose they are."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendRejectedCredentials, OutcomeUnknown
from gateway.resilience import create_rate_limiter
from tests.conftest import VirtualClock
from tests.unit.api.callers import auth, caller, key
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

PORTAL = "spiffe://cluster.local/ns/web/sa/portal"
OPEN = ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/errors")
CLOSED = (
    ("POST", "/modules"), ("GET", "/modules"), ("GET", "/modules/cmdb.1.10.1"), ("PATCH", "/modules/cmdb.1.10.1"),
    ("DELETE", "/modules/cmdb.1.10.1"), ("GET", "/operations/operation-1"), ("GET", "/backends"),
    ("GET", "/backends/cmdb"),
)  # fmt: skip


@pytest.fixture
def closed(build: Any, cmdb: FakeBackend, projectman: FakeBackend) -> FlaskClient:
    """The service, for two callers who may do anything, and one known to the mesh."""
    entries = (
        caller("one", "*:*:*", acting_user="alice"),
        caller("two", "*:*:*"),
        caller("mesh", "*:*:*", spiffe=PORTAL),
    )
    client: FlaskClient = build(
        {"cmdb": cmdb, "projectman": projectman}, auth(*entries, trusted_proxies=("127.0.0.1",))
    ).test_client()
    return client


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Api-Key": "wrong"},
        {"X-Api-Key": ""},
        {"X-Api-Key": "one-key x"},
        {"X-Api-Key": "ключ".encode().decode("latin-1")},
        {"X-Api-Key": "k" * 60_000},
        {"Authorization": "Basic b25lLWtleQ=="},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer one-key, Bearer two-key"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "one-key"},
        {"X-Api-Key": "wrong", "Authorization": "Bearer one-key"},
    ],
)
def test_without_a_proof(closed: FlaskClient, method: str, path: str, headers: dict[str, str]) -> None:
    """No key, a wrong or a malformed one: 401 and how to prove an identity; a wrong proof spoils a right one."""
    response = closed.open(path, method=method, headers=headers)
    assert_problem(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="module-gateway"'


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open(closed: FlaskClient, path: str) -> None:
    """Probes, figures and documents are for everybody."""
    with closed.get(path) as response:
        assert response.status_code in {200, 308}


def test_no_such_address_needs_no_proof(closed: FlaskClient) -> None:
    """What is not there is 404, and a method that is not allowed 405, for everybody."""
    assert_problem(closed.get("/nothing"), 404, "not_found")
    assert_problem(closed.put("/modules"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "headers", [key("one"), {"Authorization": "Bearer one-key"}, {"Authorization": "bearer  one-key"}]
)
def test_a_key_opens(closed: FlaskClient, headers: dict[str, str]) -> None:
    """The key is taken from either header; the scheme's case does not count (RFC 9110, 11.1)."""
    assert closed.get("/backends", headers=headers).status_code == 200


def test_the_mesh_opens(closed: FlaskClient) -> None:
    """A trusted hop's word about the certificate is a proof; anybody else's is not heard."""
    headers = {"X-Forwarded-Client-Cert": f"Hash=1;URI={PORTAL}"}
    assert closed.get("/backends", headers=headers).status_code == 200
    stranger = closed.get("/backends", headers=headers, environ_overrides={"REMOTE_ADDR": "10.0.0.1"})
    assert_problem(stranger, 401, "unauthenticated")


def test_a_caller_in_a_hurry(build: Any, cmdb: FakeBackend, clock: VirtualClock) -> None:
    """Above his rate: 429, when to come back, and to Envoy that it is a limit and no failure."""
    settings = auth(caller("one", "*:*:*", requests_per_second=1.0))
    client = build({"cmdb": cmdb}, settings, create_rate_limiter("memory://", clock)).test_client()
    assert client.get("/backends", headers=key("one")).status_code == 200
    response = client.post("/modules", json=body(cmdb), headers=key("one"))
    assert_problem(response, 429, "rate_limited")
    assert (response.headers["x-envoy-ratelimited"], response.headers["Retry-After"]) == ("true", "1")
    assert response.headers["Gateway-Outcome"] == "not_applied"
    assert not cmdb.sent


def test_operations_belong_to_their_caller(closed: FlaskClient, cmdb: FakeBackend) -> None:
    """Another caller's operation is not there, whatever he may do otherwise."""
    made = closed.post("/modules", json=body(cmdb), headers={**key("one"), "Prefer": "respond-async"})
    address = made.headers["Location"]
    assert closed.get(address, headers=key("one")).status_code == 200
    assert_problem(closed.get(address, headers=key("two")), 404, "operation_not_found")


def test_idempotency_keys_belong_to_their_caller(closed: FlaskClient, cmdb: FakeBackend) -> None:
    """Two callers who choose the same key have two creates."""
    first = closed.post("/modules", json=body(cmdb), headers={**key("one"), "Idempotency-Key": "k"})
    second = closed.post("/modules", json=body(cmdb, name="other"), headers={**key("two"), "Idempotency-Key": "k"})
    assert (first.status_code, second.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in second.headers


def test_the_acting_user_is_the_verified_one(closed: FlaskClient, cmdb: FakeBackend) -> None:
    """The user that a backend hears of comes from the caller's entry, on reads and on the create's own way alike."""
    seen: list[str | None] = []
    send = cmdb._send

    def record(operation: str, what: Any, call: CallContext) -> None:
        seen.append(call.user)
        send(operation, what, call)

    cmdb._send = record  # type: ignore[method-assign]
    closed.post("/modules", json=body(cmdb), headers=key("one"))
    closed.get("/modules?backend=cmdb&scope=1", headers=key("one"))
    closed.get("/modules?backend=cmdb&scope=1", headers=key("two"))
    assert (set(seen[:-1]), seen[-1]) == ({"alice"}, None)


@pytest.fixture
def passing(build: Any, cmdb: FakeBackend, projectman: FakeBackend) -> FlaskClient:
    """The service, with a connection that passes credentials through and one that does not."""
    object.__setattr__(projectman.capabilities, "credential_header", "X-Auth-Token")
    client: FlaskClient = build({"cmdb": cmdb, "projectman": projectman}).test_client()
    return client


def test_a_credential_goes_where_it_is_meant_for(
    passing: FlaskClient, cmdb: FakeBackend, projectman: FakeBackend
) -> None:
    """It reaches the connection that passes credentials through, and no other; the create's own call carries it too."""
    seen: dict[str, set[str | None]] = {"cmdb": set(), "projectman": set()}
    for backend in (cmdb, projectman):
        _listen(backend, seen[backend.name])
    for backend in (cmdb, projectman):
        passing.post("/modules", json=body(backend), headers={"X-Auth-Token": "own"})
        passing.get(f"/modules?backend={backend.name}&scope={backend.scopes[0]}", headers={"X-Auth-Token": "own"})
    assert seen == {"cmdb": {None}, "projectman": {"own"}}


def _listen(backend: FakeBackend, seen: set[str | None]) -> None:
    send = backend._send

    def record(operation: str, what: Any, call: CallContext) -> None:
        seen.add(call.credential)
        send(operation, what, call)

    backend._send = record  # type: ignore[method-assign]


def test_no_credential(passing: FlaskClient, projectman: FakeBackend) -> None:
    """Where the caller's own credential is needed and not sent, nothing is sent either, and he is told the header."""
    response = passing.post("/modules", json=body(projectman))
    assert "X-Auth-Token" in assert_problem(response, 401, "unauthenticated")["detail"]
    assert not projectman.sent


def test_a_rejected_credential_is_the_callers(passing: FlaskClient, projectman: FakeBackend, cmdb: FakeBackend) -> None:
    """A backend that rejects what the caller sent is his 401; one that rejects ours is our 502."""
    for backend in (projectman, cmdb):
        backend.fails["list"] = BackendRejectedCredentials()
    own = {"X-Auth-Token": "own"}
    assert_problem(
        passing.get(f"/modules?backend=projectman&scope={projectman.scopes[0]}", headers=own), 401, "unauthenticated"
    )
    assert_problem(passing.get("/modules?backend=cmdb&scope=1", headers=own), 502, "backend_rejected_credentials")


def test_a_credential_is_kept_nowhere(passing: FlaskClient, projectman: FakeBackend) -> None:
    """Neither the operation nor the call's own text shows it."""
    projectman.fails["create"] = OutcomeUnknown()
    headers = {"X-Auth-Token": "own-secret", "Prefer": "respond-async"}
    made = passing.post("/modules", json=body(projectman), headers=headers)
    assert "own-secret" not in passing.get(made.headers["Location"]).get_data(as_text=True)
    assert "own-secret" not in repr(CallContext("r", 0.0, credential="own-secret"))
