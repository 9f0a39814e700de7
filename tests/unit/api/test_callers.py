"""Authentication, the acting user, and what belongs to a caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.domain.backend import CallContext
from gateway.domain.errors import BackendRejectedCredentials, OutcomeUnknown
from gateway.resilience import create_rate_limiter
from tests.conftest import VirtualClock, local_socket
from tests.unit.api.callers import auth, caller, key
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

PORTAL = "spiffe://cluster.local/ns/web/sa/portal"
PUBLIC_PATHS = ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/errors")
PROTECTED = (
    ("POST", "/modules"), ("GET", "/modules"), ("GET", "/modules/cmdb.1.10.1"), ("PATCH", "/modules/cmdb.1.10.1"),
    ("DELETE", "/modules/cmdb.1.10.1"), ("GET", "/operations/operation-1"), ("GET", "/backends"),
    ("GET", "/backends/cmdb"),
)  # fmt: skip


@pytest.fixture
def auth_client(build: Any, cmdb: FakeBackend, projectman: FakeBackend) -> FlaskClient:
    """The service for two callers with keys and one with a client certificate, all without restrictions."""
    entries = (
        caller("one", "*:*:*", acting_user="alice"),
        caller("two", "*:*:*"),
        caller("mesh", "*:*:*", spiffe=PORTAL),
    )
    client: FlaskClient = build(
        {"cmdb": cmdb, "projectman": projectman}, auth(*entries, trusted_proxies=("127.0.0.1",))
    ).test_client()
    return client


@pytest.mark.parametrize(("method", "path"), PROTECTED)
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
def test_unauthenticated(auth_client: FlaskClient, method: str, path: str, headers: dict[str, str]) -> None:
    """A missing, wrong or malformed credential is 401 with WWW-Authenticate, also beside a valid one."""
    response = auth_client.open(path, method=method, headers=headers)
    assert_problem(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="module-gateway"'


@pytest.mark.parametrize("path", PUBLIC_PATHS)
def test_public_paths(auth_client: FlaskClient, path: str) -> None:
    """Probes, metrics and documentation need no credential."""
    with auth_client.get(path) as response:
        assert response.status_code in {200, 308}


def test_unknown_path(auth_client: FlaskClient) -> None:
    """An unknown path is 404 and an unknown method 405, without a credential."""
    assert_problem(auth_client.get("/nothing"), 404, "not_found")
    assert_problem(auth_client.put("/modules"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "headers", [key("one"), {"Authorization": "Bearer one-key"}, {"Authorization": "bearer  one-key"}]
)
def test_api_key(auth_client: FlaskClient, headers: dict[str, str]) -> None:
    """The key is taken from either header; the scheme's case does not count (RFC 9110, 11.1)."""
    assert auth_client.get("/backends", headers=headers).status_code == 200


def test_client_certificate(auth_client: FlaskClient) -> None:
    """The X-Forwarded-Client-Cert header of a trusted proxy authenticates; that of another peer does not."""
    headers = {"X-Forwarded-Client-Cert": f"Hash=1;URI={PORTAL}"}
    assert auth_client.get("/backends", headers=headers).status_code == 200
    response = auth_client.get("/backends", headers=headers, environ_overrides={"REMOTE_ADDR": "10.0.0.1"})
    assert_problem(response, 401, "unauthenticated")


def test_rate_limit(build: Any, cmdb: FakeBackend, clock: VirtualClock) -> None:
    """Above the caller's rate the response is 429 with Retry-After and Envoy's rate limit header."""
    settings = auth(caller("one", "*:*:*", requests_per_second=1.0))
    client = build({"cmdb": cmdb}, settings, create_rate_limiter("memory://", clock)).test_client()
    assert client.get("/backends", headers=key("one")).status_code == 200
    response = client.post("/modules", json=body(cmdb), headers=key("one"))
    assert_problem(response, 429, "rate_limited")
    assert (response.headers["x-envoy-ratelimited"], response.headers["Retry-After"]) == ("true", "1")
    assert response.headers["Gateway-Outcome"] == "not_applied"
    assert not cmdb.sent


def test_operations_of_another_caller(auth_client: FlaskClient, cmdb: FakeBackend) -> None:
    """Another caller's operation is 404."""
    response = auth_client.post("/modules", json=body(cmdb), headers={**key("one"), "Prefer": "respond-async"})
    location = response.headers["Location"]
    assert auth_client.get(location, headers=key("one")).status_code == 200
    assert_problem(auth_client.get(location, headers=key("two")), 404, "operation_not_found")


def test_idempotency_keys_of_two_callers(auth_client: FlaskClient, cmdb: FakeBackend) -> None:
    """Two callers with the same Idempotency-Key have two creates."""
    first = auth_client.post("/modules", json=body(cmdb), headers={**key("one"), "Idempotency-Key": "k"})
    second = auth_client.post("/modules", json=body(cmdb, name="other"), headers={**key("two"), "Idempotency-Key": "k"})
    assert (first.status_code, second.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in second.headers


def test_acting_user(auth_client: FlaskClient, cmdb: FakeBackend) -> None:
    """The acting user in calls to a backend is that of the caller's entry, in reads and in creates."""
    users: list[str | None] = []
    send = cmdb._send

    def record(operation: str, argument: Any, call: CallContext) -> None:
        users.append(call.user)
        send(operation, argument, call)

    cmdb._send = record  # type: ignore[method-assign]
    auth_client.post("/modules", json=body(cmdb), headers=key("one"))
    auth_client.get("/modules?backend=cmdb&scope=1", headers=key("one"))
    auth_client.get("/modules?backend=cmdb&scope=1", headers=key("two"))
    assert (set(users[:-1]), users[-1]) == ({"alice"}, None)


@pytest.fixture
def passthrough_client(build: Any, cmdb: FakeBackend, projectman: FakeBackend) -> FlaskClient:
    """The service with a connection that passes credentials through and one that does not."""
    projectman.capabilities = replace(projectman.capabilities, credential_header="X-Auth-Token")
    client: FlaskClient = build({"cmdb": cmdb, "projectman": projectman}).test_client()
    return client


def test_passthrough_credential(passthrough_client: FlaskClient, cmdb: FakeBackend, projectman: FakeBackend) -> None:
    """The caller's credential reaches only the connection that passes it through, in a create too."""
    credentials: dict[str, set[str | None]] = {"cmdb": set(), "projectman": set()}
    for backend in (cmdb, projectman):
        _record_credentials(backend, credentials[backend.name])
    for backend in (cmdb, projectman):
        passthrough_client.post("/modules", json=body(backend), headers={"X-Auth-Token": "own"})
        passthrough_client.get(
            f"/modules?backend={backend.name}&scope={backend.scopes[0]}", headers={"X-Auth-Token": "own"}
        )
    assert credentials == {"cmdb": {None}, "projectman": {"own"}}


def test_credential_of_a_create_that_outlasts_its_request(
    passthrough_client: FlaskClient, projectman: FakeBackend, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credential of a create that is still being sent after its response stays redacted until it is sent."""
    redactor = passthrough_client.application.extensions["gateway"].telemetry._redactor
    works: list[Callable[[], None]] = []
    redacted: list[str] = []
    send = projectman._send

    def record(operation: str, argument: object, call: CallContext) -> None:
        redacted.append(redactor.redact(f"sent {call.credential} now"))
        send(operation, argument, call)

    projectman._send = record  # type: ignore[method-assign]
    monkeypatch.setattr(clock, "spawn", works.append)
    headers = {"X-Auth-Token": "the-credential-of-a-caller", "Prefer": "respond-async"}
    assert passthrough_client.post("/modules", json=body(projectman), headers=headers).status_code == 202
    for work in works:
        work()
    assert redacted == ["sent [redacted] now"]
    assert redactor.redact("the-credential-of-a-caller") == "the-credential-of-a-caller"


def _record_credentials(backend: FakeBackend, credentials: set[str | None]) -> None:
    send = backend._send

    def record(operation: str, argument: Any, call: CallContext) -> None:
        credentials.add(call.credential)
        send(operation, argument, call)

    backend._send = record  # type: ignore[method-assign]


def test_missing_credential(passthrough_client: FlaskClient, projectman: FakeBackend) -> None:
    """Without the caller's own credential, nothing is sent; the problem names the header."""
    response = passthrough_client.post("/modules", json=body(projectman))
    assert "X-Auth-Token" in assert_problem(response, 401, "unauthenticated")["detail"]
    assert not projectman.sent


def test_rejected_credential(passthrough_client: FlaskClient, projectman: FakeBackend, cmdb: FakeBackend) -> None:
    """A rejected credential of the caller is 401; a rejected one of the gateway is 502."""
    for backend in (projectman, cmdb):
        backend.fails["list"] = BackendRejectedCredentials()
    headers = {"X-Auth-Token": "own"}
    assert_problem(
        passthrough_client.get(f"/modules?backend=projectman&scope={projectman.scopes[0]}", headers=headers),
        401,
        "unauthenticated",
    )
    assert_problem(
        passthrough_client.get("/modules?backend=cmdb&scope=1", headers=headers), 502, "backend_rejected_credentials"
    )


def test_credential_not_stored(passthrough_client: FlaskClient, projectman: FakeBackend) -> None:
    """Neither the operation nor the representation of the call contains the credential."""
    projectman.fails["create"] = OutcomeUnknown()
    headers = {"X-Auth-Token": "own-secret", "Prefer": "respond-async"}
    response = passthrough_client.post("/modules", json=body(projectman), headers=headers)
    assert "own-secret" not in passthrough_client.get(response.headers["Location"]).get_data(as_text=True)
    assert "own-secret" not in repr(CallContext("r", 0.0, credential="own-secret"))


@pytest.fixture
def narrowed(build: Any, cmdb: FakeBackend) -> Any:
    """Returns a client of the same service and journal for caller `one` with another allow-list."""
    return lambda *allow: build({"cmdb": cmdb}, auth(caller("one", *allow))).test_client()


@pytest.mark.parametrize(
    ("query", "allow", "status"),
    [
        ("", ("create:cmdb:1",), 200),
        ("", ("read:cmdb:1",), 200),
        ("", ("*:cmdb:*",), 200),
        ("", ("update,delete,audit:cmdb:1",), 404),
        ("", ("operate:cmdb:1",), 200),
        ("", ("*:cmdb:2",), 404),
        ("", ("*:projectman:*",), 404),
        ("", (), 404),
        ("?if_exists=adopt", ("read:cmdb:1",), 200),
        ("?if_exists=adopt", ("create:cmdb:1",), 404),
    ],
)
def test_operation_after_the_allow_list_was_narrowed(
    narrowed: Any, cmdb: FakeBackend, query: str, allow: tuple[str, ...], status: int
) -> None:
    """Reading an operation needs create or read where it took place, and read if it may show an adopted module.

    A refused one is 404 like one that never existed, so that its id proves nothing.
    """
    headers = {**key("one"), "Prefer": "respond-async", "Idempotency-Key": "k"}
    address = narrowed("*:*:*").post(f"/modules{query}", json=body(cmdb), headers=headers).headers["Location"]
    client = narrowed(*allow)
    response = client.get(address, headers=key("one"))
    assert response.status_code == status
    if status == 404:
        refused, unknown = response.get_json(), client.get("/operations/none", headers=key("one")).get_json()
        unknown["detail"] = unknown["detail"].replace("none", address.rpartition("/")[2])
        assert {**refused, "request_id": ""} == {**unknown, "request_id": ""}


@pytest.mark.parametrize("query", ["", "?if_exists=adopt"])
@pytest.mark.parametrize("headers", [{"Idempotency-Key": "k"}, {"X-Request-Id": "r"}, {"Prefer": "respond-async"}])
def test_replay_after_the_allow_list_was_narrowed(
    narrowed: Any, cmdb: FakeBackend, headers: dict[str, str], query: str
) -> None:
    """A repeated create is authorized like the first one: neither module nor operation is shown."""
    needed = "read" if query else "create"
    remaining = f"{'create' if query else 'read'},update,delete:cmdb:1"
    request = {"json": body(cmdb), "headers": {**headers, **key("one")}}
    first = narrowed("*:*:*").post(f"/modules{query}", **request)
    problem = assert_problem(narrowed(remaining).post(f"/modules{query}", **request), 403, "forbidden")
    assert needed in problem["detail"]
    assert problem.keys().isdisjoint({"instance", "existing"})
    assert first.headers["Location"] not in str(problem)


def test_operation_of_another_caller_is_not_named(
    build: Any, cmdb: FakeBackend, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A create that meets another caller's equal one gets neither its operation (202) nor its id (`instance`)."""
    app = build({"cmdb": cmdb}, auth(caller("one", "*:*:*"), caller("two", "*:*:*")))
    client = app.test_client()
    cmdb.fails["create"] = OutcomeUnknown()
    first = client.post("/modules", json=body(cmdb), headers={**key("one"), "Prefer": "respond-async"})
    response = client.post("/modules", json=body(cmdb), headers={**key("two"), "Prefer": "respond-async"})
    problem = assert_problem(response, 409, "create_in_progress")
    assert first.get_json()["id"] not in str(problem)


@pytest.mark.parametrize(
    "connection",
    [
        {"gunicorn.socket": local_socket(("192.0.2.2", 8000))},
        {"gunicorn.socket": local_socket(OSError("closed"))},
        {"gunicorn.socket": None},
        {"gunicorn.socket": None, "werkzeug.socket": local_socket(("::", 8000, 0, 0))},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/livez"), ("OPTIONS", "/modules"), *PROTECTED])
def test_not_local(build: Any, cmdb: FakeBackend, connection: dict[str, Any], method: str, path: str) -> None:
    """Without authentication a request is refused unless its local address is known to be local, whatever its path."""
    client = build({"cmdb": cmdb}).test_client()
    response = client.open(path, method=method, environ_overrides=connection, headers={"Host": "localhost"})
    assert assert_problem(response, 403, "forbidden")["detail"].startswith("auth.mode is none")
    assert not cmdb.sent
    unix = {"gunicorn.socket": local_socket("/run/g.sock")}
    assert client.get("/backends", environ_overrides=unix).status_code == 200


def test_not_local_with_authentication(auth_client: FlaskClient) -> None:
    """With authentication the address does not count."""
    overrides = {"gunicorn.socket": None}
    assert auth_client.get("/backends", headers=key("one"), environ_overrides=overrides).status_code == 200
