"""The time to parse an error response or a module is linear in its size, whatever characters it contains."""

from __future__ import annotations

import json
from typing import Any, Final, cast

import pytest

from gateway.backends.cmdb.adapter import CmdbBackend
from gateway.backends.projectman.adapter import ProjectManBackend
from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError
from gateway.transport import UpstreamRequest, UpstreamResponse
from tests.conftest import VirtualClock
from tests.unit.backends.connections import (
    CMDB_MODULE,
    PM_NODE,
    PROJECT,
    cmdb_options,
    list_response,
    password,
    projectman_options,
    search_response,
)

# A worker must not be stopped by one response: quadratic patterns take more than this for 60 KB, linear ones 1 ms.
pytestmark = pytest.mark.timeout(10)

#: Characters that start, continue or separate something in a pattern of either backend, each repeated to 60 KB.
RUNS: Final = [
    *("'", "''a", "'a", "'a/", "'a_", "[", "[bk_", "[bk_a", "[data", "]", "a", "/", "_", "1", "0", ".", "-", "\x85"),
    *("APP ", "APP authentication", "connection ", "user is not ", "app is not ", "valid user ", "User "),
    *("limit:", "limit:1", "limit:1,", "limit:1,time:", "limit:1,time:1 ", "time:", "limit:" + "1" * 999),
    *('"', '\\"', 'a: "', "bk_", "bk_a", "timed out (", "timed out (a) while ", "failed to connect ", "AB.", "AB.A"),
    *("token ", "token expire", "decrypt ", "AK access ", "APIG.", "PM.", "模", " ", "\n", ",", "404: ", "2022-02-22T"),
]
SIZE: Final = 60_000


class Canned:
    """A transport that returns one response to every request."""

    state = "reachable"

    def __init__(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        self._response = (status, headers or {}, document if isinstance(document, bytes) else dumps(document))

    def register_secret(self, secret: str, *, replaces: str = "") -> None:
        pass

    def send(self, request: UpstreamRequest, _: CallContext) -> UpstreamResponse:
        return UpstreamResponse(*self._response, request.is_write)


def dumps(document: Any) -> bytes:
    return json.dumps(document).encode()


def cmdb(transport: Canned) -> Backend:
    return CmdbBackend("cmdb", cmdb_options("http://cmdb"), cast("Any", transport), VirtualClock())


def projectman(transport: Canned, **options: Any) -> Backend:
    return ProjectManBackend("pm", projectman_options("http://pm", **options), cast("Any", transport), VirtualClock())


@pytest.fixture(params=RUNS, ids=lambda unit: repr(unit[:20]))
def run(request: pytest.FixtureRequest) -> str:
    unit: str = request.param
    return (unit * SIZE)[:SIZE]


def fails(backend: Backend, ref: str) -> None:
    with pytest.raises(GatewayError):
        backend.get(ref, CallContext("r", 1e6))


def test_a_cmdb_error(run: str) -> None:
    """Message, code and request id, in the body and in every header that is read."""
    names = ("X-Bkapi-Error-Code", "Retry-After", "X-Bkapi-RateLimit-Reset", "X-Bkapi-Request-ID", "X-Request-Id")
    body = {"result": False, "code": run, "message": run, "request_id": run}
    fails(cmdb(Canned(200, body, dict.fromkeys(names, run))), "1.10.5")
    fails(cmdb(Canned(200, run.encode())), "1.10.5")
    fails(cmdb(Canned(200, {"result": False, "code": 1199014, "message": f'"{run}'})), "1.10.5")


def test_a_projectman_error(run: str) -> None:
    """The same for the API gateway, for the service and for IAM."""
    headers = dict.fromkeys(("Retry-After", "X-Request-Id", "X-IAM-Trace-Id"), run)
    ref = f"{PROJECT}.46691"
    fails(projectman(Canned(429, {"error_code": run, "error_msg": run, "request_id": run}, headers)), ref)
    fails(projectman(Canned(401, {"error_code": "APIGW.0301", "error_msg": run})), ref)
    denied = Canned(401, {"error": {"code": run, "message": run}}, headers)
    fails(projectman(denied, auth=password("http://iam")), ref)


def test_a_projectman_token(run: str) -> None:
    """The time at which a token expires."""
    issued = Canned(201, {"token": {"expires_at": run}}, {"X-Subject-Token": "token"})
    fails(projectman(issued, auth=password("http://iam")), f"{PROJECT}.46691")


def test_a_cmdb_module(run: str) -> None:
    """Every text of a module."""
    row = {**CMDB_MODULE, "bk_module_name": run, "operator": run, "create_time": run, "last_time": run, "team": run}
    module = cmdb(Canned(200, search_response(row))).get("1.10.37825", CallContext("r", 1e6))
    assert module.name == run


def test_a_projectman_module(run: str) -> None:
    """Every text of a node, and texts in the place of numbers."""
    node = {**PM_NODE, "module_name": run, "description": run, "owner": {"user_id": run, "nick_name": run}}
    module = projectman(Canned(200, list_response(node))).get(f"{PROJECT}.46691", CallContext("r", 1e6))
    assert module.name == run
    numbers = {"module_id": run, "parent_module_id": run, "deepth": run, "is_parent": run}
    fails(projectman(Canned(200, list_response({**node, **numbers}))), f"{PROJECT}.46691")
