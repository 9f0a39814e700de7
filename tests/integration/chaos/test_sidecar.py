from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually
from tests.integration.http_client import HttpResponse, send

pytestmark = [pytest.mark.loopback, pytest.mark.parametrize("backend", ["cmdb", "projectman"])]


TOPOLOGY = Topology(workers=1, deadline=5.0, hard=5.0)


@dataclass(frozen=True)
class Workflow:
    """A caller whose sidecar sends all requests for one module with the same request id."""

    testbed: GatewayTestbed
    backend: str
    name: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "X-Request-Id": f"workflow-{self.name}"}

    def create(self, headers: Mapping[str, str] | None = None) -> HttpResponse:
        spec = CreateSpec(self.backend, self.name)
        return spec.send(self.testbed.addresses[0], {**self.headers, **(headers or {})})

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
        return self.testbed.created_ids(self.backend, self.name)


@pytest.fixture
def workflow(testbed: GatewayTestbed, backend: str, request: pytest.FixtureRequest) -> Workflow:
    return Workflow(testbed, backend, request.node.originalname.removeprefix("test_")[:30])


def test_lost_response_is_replayed(workflow: Workflow) -> None:
    """The same request id and body after a lost response give the same module, without an Idempotency-Key."""
    workflow.testbed.fault(workflow.backend, {"fault": "delay", "seconds": 0.5})
    body = json.dumps(CreateSpec(workflow.backend, workflow.name).body)
    with closing(HTTPConnection(workflow.testbed.addresses[0], timeout=15)) as connection:
        connection.request("POST", "/modules", body, workflow.headers)
        assert eventually(lambda: workflow.sent == 1, 10)
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
