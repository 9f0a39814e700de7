from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.integration.chaos.caller import Wanted
from tests.integration.chaos.http import Answer, ask
from tests.integration.chaos.stand import Shape, Stand, eventually

pytestmark = [pytest.mark.loopback, pytest.mark.parametrize("backend", ["cmdb", "projectman"])]


@pytest.fixture(scope="module")
def shape() -> Shape:
    return Shape(workers=1, deadline=5.0, hard=5.0)


class Workflow:
    """A caller whose sidecar gives all of his requests one id; he knows one module."""

    def __init__(self, stand: Stand, backend: str, name: str) -> None:
        self.stand = stand
        self.backend = backend
        self.name = name
        self._body = Wanted(backend, name).body
        self._headers = {"Content-Type": "application/json", "X-Request-Id": f"workflow-{name}"}

    def create(self, headers: Mapping[str, str] | None = None) -> Answer:
        return ask(self.stand.addresses[0], "POST", "/modules", self._body, {**self._headers, **(headers or {})})

    def create_and_hang_up(self) -> None:
        """Close the connection as soon as the twin has the request."""
        with closing(HTTPConnection(self.stand.addresses[0], timeout=15)) as connection:
            connection.request("POST", "/modules", json.dumps(self._body), self._headers)
            assert eventually(lambda: self.sent == 1, 10)

    def follow(self, path: str) -> Any:
        """Wait for an operation to succeed by the backend's answer, without a look, and return its module."""
        assert eventually(lambda: bool(self._operation(path)["state"] == "succeeded"), 10)
        assert self._operation(path)["evidence"] == []
        return self._operation(path)["module"]

    def _operation(self, path: str) -> Any:
        return ask(self.stand.addresses[0], "GET", path).body

    @property
    def sent(self) -> int:
        return self.stand.sent(self.backend, self.name)

    @property
    def made(self) -> list[str]:
        entries = self.stand.created(self.backend)
        return [str(entry["id"]) for entry in entries if entry["natural_key"][-1] == self.name]


@pytest.fixture
def workflow(shared_stand: Stand, backend: str, request: pytest.FixtureRequest) -> Workflow:
    return Workflow(shared_stand, backend, request.node.originalname.removeprefix("test_")[:30])


def test_a_lost_answer_is_told_again(workflow: Workflow) -> None:
    """The same request id and body after an answer got lost give the same module, without any Idempotency-Key."""
    workflow.stand.fault(workflow.backend, {"fault": "delay", "seconds": 0.5})
    workflow.create_and_hang_up()
    assert workflow.stand.settles()
    again = workflow.create()
    assert (again.status, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert workflow.made == [again.body["native_id"]]
    assert workflow.sent == 1


def test_create_delete_create_makes_a_new_module(workflow: Workflow) -> None:
    """Once the gateway has deleted what a request id made, the same request under that id is a new create."""
    first = workflow.create()
    assert ask(workflow.stand.addresses[0], "DELETE", first.headers["Location"]).status == 204
    second = workflow.create()
    assert (first.status, second.status) == (201, 201)
    assert "Idempotency-Replayed" not in second.headers
    assert workflow.made == [first.body["native_id"], second.body["native_id"]]


def test_who_does_not_wait_can_follow(workflow: Workflow) -> None:
    """`Prefer: respond-async` is answered 202 before the backend has made the module; its operation succeeds later."""
    workflow.stand.fault(workflow.backend, {"fault": "delay", "seconds": 0.5})
    accepted = workflow.create({"Prefer": "respond-async"})
    assert (accepted.status, accepted.body["state"], workflow.made) == (202, "sending", [])
    module = workflow.follow(accepted.headers["Location"])
    assert workflow.create().body == module
    assert workflow.made == [module["native_id"]]
    assert workflow.sent == 1


def test_a_proxy_s_patience_is_kept(workflow: Workflow) -> None:
    """A caller whose proxy waits less than the backend takes is told 504 and where to look; the create goes on."""
    workflow.stand.fault(workflow.backend, {"fault": "delay", "seconds": 1.0})
    answer = workflow.create({"x-envoy-expected-rq-timeout-ms": "300"})
    assert (answer.status, answer.code, answer.outcome) == (504, "outcome_unknown", "unknown")
    assert workflow.made == []
    module = workflow.follow(answer.body["instance"])
    assert workflow.made == [module["native_id"]]
    assert workflow.create().headers["Idempotency-Replayed"] == "true"
    assert workflow.sent == 1
