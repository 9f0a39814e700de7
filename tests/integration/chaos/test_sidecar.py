from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually
from tests.integration.http_client import HttpResponse, send

pytestmark = [pytest.mark.loopback, pytest.mark.parametrize("backend", ["cmdb", "projectman"])]


@pytest.fixture(scope="module")
def topology() -> Topology:
    return Topology(workers=1, deadline=5.0, hard=5.0)


class Workflow:
    """A caller whose sidecar sends all requests for one module with the same request id."""

    def __init__(self, testbed: GatewayTestbed, backend: str, name: str) -> None:
        self.testbed = testbed
        self.backend = backend
        self.name = name
        self._body = CreateSpec(backend, name).body
        self._headers = {"Content-Type": "application/json", "X-Request-Id": f"workflow-{name}"}

    def create(self, headers: Mapping[str, str] | None = None) -> HttpResponse:
        return send(self.testbed.addresses[0], "POST", "/modules", self._body, {**self._headers, **(headers or {})})

    def create_and_disconnect(self) -> None:
        """Close the connection as soon as the twin has the request."""
        with closing(HTTPConnection(self.testbed.addresses[0], timeout=15)) as connection:
            connection.request("POST", "/modules", json.dumps(self._body), self._headers)
            assert eventually(lambda: self.sent == 1, 10)

    def follow(self, path: str) -> Any:
        """Wait until an operation has succeeded by the backend's response, without a lookup; return its module."""
        assert eventually(lambda: bool(self._operation(path)["state"] == "succeeded"), 10)
        assert self._operation(path)["evidence"] == []
        return self._operation(path)["module"]

    def _operation(self, path: str) -> Any:
        return send(self.testbed.addresses[0], "GET", path).body

    @property
    def sent(self) -> int:
        return self.testbed.sent(self.backend, self.name)

    @property
    def created_ids(self) -> list[str]:
        entries = self.testbed.created(self.backend)
        return [str(entry["id"]) for entry in entries if entry["natural_key"][-1] == self.name]


@pytest.fixture
def workflow(testbed: GatewayTestbed, backend: str, request: pytest.FixtureRequest) -> Workflow:
    return Workflow(testbed, backend, request.node.originalname.removeprefix("test_")[:30])


def test_lost_response_is_replayed(workflow: Workflow) -> None:
    """The same request id and body after a lost response give the same module, without an Idempotency-Key."""
    workflow.testbed.fault(workflow.backend, {"fault": "delay", "seconds": 0.5})
    workflow.create_and_disconnect()
    assert workflow.testbed.wait_until_settled()
    replay = workflow.create()
    assert (replay.status, replay.headers["Idempotency-Replayed"]) == (201, "true")
    assert workflow.created_ids == [replay.body["native_id"]]
    assert workflow.sent == 1


def test_create_delete_create_makes_a_new_module(workflow: Workflow) -> None:
    """After the module is deleted through the gateway, the same request with the same id is a new create."""
    first = workflow.create()
    assert send(workflow.testbed.addresses[0], "DELETE", first.headers["Location"]).status == 204
    second = workflow.create()
    assert (first.status, second.status) == (201, 201)
    assert "Idempotency-Replayed" not in second.headers
    assert workflow.created_ids == [first.body["native_id"], second.body["native_id"]]


def test_respond_async(workflow: Workflow) -> None:
    """`Prefer: respond-async` gets 202 before the backend has created the module; the operation succeeds later."""
    workflow.testbed.fault(workflow.backend, {"fault": "delay", "seconds": 0.5})
    accepted = workflow.create({"Prefer": "respond-async"})
    assert (accepted.status, accepted.body["state"], workflow.created_ids) == (202, "sending", [])
    module = workflow.follow(accepted.headers["Location"])
    assert workflow.create().body == module
    assert workflow.created_ids == [module["native_id"]]
    assert workflow.sent == 1


def test_proxy_timeout_is_respected(workflow: Workflow) -> None:
    """If the proxy times out before the create ends, the caller gets 504 with an operation; the create continues."""
    workflow.testbed.fault(workflow.backend, {"fault": "delay", "seconds": 1.0})
    response = workflow.create({"x-envoy-expected-rq-timeout-ms": "300"})
    assert (response.status, response.code, response.outcome) == (504, "outcome_unknown", "unknown")
    assert workflow.created_ids == []
    module = workflow.follow(response.body["instance"])
    assert workflow.created_ids == [module["native_id"]]
    assert workflow.create().headers["Idempotency-Replayed"] == "true"
    assert workflow.sent == 1
