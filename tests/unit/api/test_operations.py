"""/operations, Idempotency-Key, Prefer, request timeouts and draining."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.domain.errors import OutcomeUnknown
from gateway.provisioning.provisioner import Provisioner
from tests.conftest import VirtualClock
from tests.unit.api.fake_backend import FakeBackend, body, members
from tests.unit.api.problems import assert_problem


def test_accepted(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Prefer: respond-async is 202 with the Location of the operation, which contains the module when it succeeds."""
    response = client.post("/modules", json=body(cmdb), headers={"Prefer": "wait=1, Respond-Async; x=1"})
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    assert response.headers["Gateway-Outcome"] == response.get_json()["outcome"]
    document = client.get(response.headers["Location"]).get_json()
    assert members(document, "kind", "state", "outcome", "backend", "error") == {
        "kind": "create",
        "state": "succeeded",
        "outcome": "applied",
        "backend": "cmdb",
        "error": None,
    }
    assert client.get(f"/modules/{document['module']['id']}").get_json() == document["module"]
    assert document["claimed_at"] == "2027-01-15T08:00:00.000Z"


def test_refused(client: FlaskClient, cmdb: FakeBackend) -> None:
    """The operation of a refused create contains the code and the id of the existing module."""
    existing = client.post("/modules", json=body(cmdb)).get_json()["id"]
    location = client.post("/modules", json=body(cmdb), headers={"Prefer": "respond-async"}).headers["Location"]
    document = client.get(location).get_json()
    assert (document["state"], document["outcome"], document["module"]) == ("refused", "not_applied", None)
    assert members(document["error"], "code", "existing") == {"code": "module_already_exists", "existing": existing}


def test_unknown(client: FlaskClient, cmdb: FakeBackend) -> None:
    """The operation of an unknown create is reconciling, with its evidence and the time when it settles."""
    cmdb.fails["create"] = OutcomeUnknown()
    location = client.post("/modules", json=body(cmdb), headers={"Prefer": "respond-async"}).headers["Location"]
    document = client.get(location).get_json()
    assert (document["state"], document["outcome"]) == ("reconciling", "unknown")
    assert [members(evidence, "at", "what") for evidence in document["evidence"]] == [
        {"at": "2027-01-15T08:00:00.000Z", "what": "outcome_unknown"}
    ]
    assert document["settles_at"].startswith("2027-01-15T08:0")


@pytest.mark.parametrize("operation_id", ["nope", "..", "%00", "op-1%0a", "1" * 5000, "%ff"])
def test_unknown_operation(client: FlaskClient, operation_id: str) -> None:
    """An unknown id of an operation is 404, whatever its form."""
    assert_problem(client.get(f"/operations/{operation_id}"), 404, "operation_not_found")


@pytest.mark.parametrize("key", ["a", '"a"', " a ", "!~", "k" * 255, f'"{"k" * 255}"'])
def test_key_replays(client: FlaskClient, cmdb: FakeBackend, key: str) -> None:
    """The same key and request are one create: the second response is the first one, marked as replayed."""
    headers = {"Idempotency-Key": key}
    first, second = (client.post("/modules", json=body(cmdb), headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.get_json() == second.get_json()
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(cmdb.writes) == 1


def test_key_reused(client: FlaskClient, cmdb: FakeBackend) -> None:
    """The same key with another request is 422, and nothing is sent."""
    headers = {"Idempotency-Key": "a"}
    client.post("/modules", json=body(cmdb), headers=headers)
    assert_problem(
        client.post("/modules", json=body(cmdb, name="other"), headers=headers), 422, "idempotency_key_reused"
    )
    assert len(cmdb.writes) == 1


@pytest.mark.parametrize("key", ["", " ", "a b", '"a', 'a"b', '""', "k" * 256, f'"{"k" * 256}"', "ï", "a\tb"])
def test_key_invalid(client: FlaskClient, cmdb: FakeBackend, key: str) -> None:
    """A malformed key is 400, and nothing is sent."""
    response = client.post("/modules", json=body(cmdb), headers={"Idempotency-Key": key})
    assert_problem(response, 400, "idempotency_key_invalid")
    assert cmdb.sent == []


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 10.0),
        ({"x-envoy-expected-rq-timeout-ms": "2000"}, 1.95),
        ({"X-Request-Timeout-Ms": "500", "x-envoy-expected-rq-timeout-ms": "2000"}, 0.45),
        ({"X-Request-Timeout-Ms": "60000"}, 10.0),
        ({"X-Request-Timeout-Ms": "1"}, 0.0),
        *(({"X-Request-Timeout-Ms": value}, 10.0) for value in ("", "0", "-1", "1e3", "٥٠٠", "1" * 20, "1, 2")),
    ],
)
def test_request_timeout(
    client: FlaskClient,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    seconds: float,
) -> None:
    """The deadline is the caller's timeout less 50 ms, if that is earlier than the gateway's."""
    calls: list[Any] = []
    monkeypatch.setattr(FakeBackend, "_send", lambda _self, _operation, _argument, call: calls.append(call))
    encoded = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    client.get("/modules?backend=cmdb&scope=1", headers=encoded)
    assert calls[0].deadline - clock.monotonic() == pytest.approx(seconds)


def test_draining(build: Any, cmdb: FakeBackend, provisioner: Provisioner) -> None:
    """A draining process is alive but not ready; creates are 503 and not applied; reads succeed."""
    provisioner.draining = True
    client = build({"cmdb": cmdb}).test_client()
    assert client.get("/livez").status_code == 200
    assert_problem(client.get("/readyz"), 503, "draining")
    assert_problem(client.post("/modules", json=body(cmdb)), 503, "draining")
    assert client.get("/modules?backend=cmdb&scope=1").status_code == 200
    assert cmdb.writes == []
