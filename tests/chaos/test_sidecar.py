from __future__ import annotations

import json
from contextlib import closing
from http.client import HTTPConnection

import pytest

from tests.chaos.caller import Wanted
from tests.chaos.conftest import Stands
from tests.chaos.http import Answer, ask
from tests.chaos.stand import Shape, Stand, eventually

pytestmark = [pytest.mark.loopback, pytest.mark.parametrize("backend", ["cmdb", "projectman"])]

SHAPE = Shape(workers=1, deadline=5.0, hard=5.0)


def _create(stand: Stand, backend: str, **headers: str) -> Answer:
    """Create the one module of these tests, as a caller whose sidecar gives every request an id."""
    wanted = Wanted(backend, "one")
    spelt = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(stand.addresses[0], "POST", "/modules", wanted.body, {"X-Request-Id": "workflow-1", **spelt})


def _operation(stand: Stand, path: str) -> dict[str, object]:
    told: dict[str, object] = ask(stand.addresses[0], "GET", path).body
    return told


def test_a_lost_answer_is_told_again(stands: Stands, backend: str) -> None:
    """The same request id and body after an answer got lost give the same module, without any Idempotency-Key."""
    stand = stands(SHAPE)
    stand.fault(backend, {"fault": "delay", "seconds": 0.5})
    _hang_up(stand, backend)
    again = _create(stand, backend)
    assert again.status == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.body["native_id"] == str(stand.created(backend)[0]["id"])
    assert stand.sent(backend) == 1


def _hang_up(stand: Stand, backend: str) -> None:
    """Ask, and close the connection as soon as the twin has the request."""
    wanted = Wanted(backend, "one")
    with closing(HTTPConnection(stand.addresses[0], timeout=15)) as connection:
        headers = {"Content-Type": "application/json", "X-Request-Id": "workflow-1"}
        connection.request("POST", "/modules", json.dumps(wanted.body), headers)
        assert eventually(lambda: stand.sent(backend) == 1, 10)


def test_create_delete_create_makes_a_new_module(stands: Stands, backend: str) -> None:
    """Once the gateway has deleted what a request id made, the same request under that id is a new create."""
    stand = stands(SHAPE)
    first = _create(stand, backend)
    assert ask(stand.addresses[0], "DELETE", first.headers["Location"]).status == 204
    second = _create(stand, backend)
    assert (first.status, second.status) == (201, 201)
    assert "Idempotency-Replayed" not in second.headers
    assert second.body["id"] != first.body["id"]


def test_who_does_not_wait_can_follow(stands: Stands, backend: str) -> None:
    """`Prefer: respond-async` is answered 202 before the backend has made the module; its operation succeeds later."""
    stand = stands(SHAPE)
    stand.fault(backend, {"fault": "delay", "seconds": 0.5})
    accepted = _create(stand, backend, Prefer="respond-async")
    assert accepted.status == 202
    assert accepted.body["state"] == "sending"
    assert not stand.created(backend)
    where = accepted.headers["Location"]
    assert eventually(lambda: _operation(stand, where)["state"] == "succeeded", 10)
    assert _create(stand, backend).body == _operation(stand, where)["module"]
    assert stand.sent(backend) == 1


def test_a_sidecar_s_patience_is_kept(stands: Stands, backend: str) -> None:
    """A caller whose proxy waits less than the backend takes is told 504 and where to look; the create goes on."""
    stand = stands(SHAPE)
    stand.fault(backend, {"fault": "delay", "seconds": 1.0})
    answer = _create(stand, backend, x_envoy_expected_rq_timeout_ms="300")
    assert (answer.status, answer.code, answer.outcome) == (504, "outcome_unknown", "unknown")
    assert not stand.created(backend)
    assert eventually(lambda: _operation(stand, answer.body["instance"])["state"] == "succeeded", 10)
    assert len(stand.created(backend)) == 1
    assert _create(stand, backend).headers["Idempotency-Replayed"] == "true"
    assert stand.sent(backend) == 1
