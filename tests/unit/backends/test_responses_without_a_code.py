"""A response that carries no code of the backend's own proves nothing about a write; contract, section 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import responses

from gateway.domain.backend import Backend, CallContext
from gateway.domain.errors import GatewayError, OutcomeUnknown
from gateway.domain.module import ModuleDraft, ModulePatch
from tests.conftest import VirtualClock
from tests.unit.backends.connections import (
    CMDB_MODULE,
    OWNER,
    PM_NODE,
    PROJECT,
    create_backends,
    list_response,
    search_response,
)

BASE: Final = "https://backend.example.com"
CMDB: Final = f"{BASE}/api/c/compapi/v2/cc"
PROJECTMAN: Final = f"{BASE}/v4/projects/{PROJECT}"
#: What a proxy, a load balancer, a sidecar or a login page answers with: none of it is the backend's verdict.
STATUSES: Final = (302, 308, 400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 415, 421, 422, 425, 429, 431, 460, 499)
BODIES: Final = (
    b"",
    b"<html>499 Client Closed Request</html>",
    b"404 page not found",
    b"null",
    b"[]",
    b"{}",
    b'{"error": "Unauthorized"}',
    b'{"code": 499, "message": "client closed request"}',
    b'{"code": 40001, "message": "the dialect of another service"}',
    b'{"code": "ERR_UPSTREAM", "message": "the dialect of another service"}',
    b'{"error": {"code": 401, "message": "The token is not valid.", "title": "Unauthorized"}}',
    b'{"error_code": 0, "error_msg": "no code"}',
    b'{"result": false, "message": "no code"}',
    b'{"result": true, "code": 0, "data": null}',
    b'{"status": 400, "error": "Bad Request", "path": "/"}',
)
Write = Callable[[Backend, CallContext], Any]
#: The method and address of each write, and how the adapter sends it.
WRITES: Final[dict[str, tuple[str, str, Write]]] = {
    "cmdb create": (
        "POST",
        f"{CMDB}/create_module/",
        lambda backend, call: backend.create(ModuleDraft(scope="1", parent="10", name="a"), call),
    ),
    "cmdb update": (
        "POST",
        f"{CMDB}/update_module/",
        lambda backend, call: backend.update("1.10.37825", ModulePatch(name="b"), call),
    ),
    "cmdb delete": (
        "POST",
        f"{CMDB}/delete_module/",
        lambda backend, call: backend.delete("1.10.37825", call),
    ),
    "projectman create": (
        "POST",
        f"{PROJECTMAN}/module",
        lambda backend, call: backend.create(ModuleDraft(scope=PROJECT, parent=None, name="a", owners=(OWNER,)), call),
    ),
    "projectman update": (
        "PUT",
        f"{PROJECTMAN}/modules/46691",
        lambda backend, call: backend.update(f"{PROJECT}.46691", ModulePatch(name="b", description="d"), call),
    ),
    "projectman delete": (
        "DELETE",
        f"{PROJECTMAN}/modules/46691",
        lambda backend, call: backend.delete(f"{PROJECT}.46691", call),
    ),
}


@pytest.fixture
def backends(clock: VirtualClock) -> dict[str, Backend]:
    return create_backends(clock, BASE)


def outcome(
    wire: responses.RequestsMock, backends: dict[str, Backend], name: str, call: CallContext, **response: Any
) -> GatewayError:
    """Return the error of a write with this response; the module exists, and no list shows a cause."""
    method, url, write = WRITES[name]
    wire.reset()
    wire.assert_all_requests_are_fired = False
    wire.post(f"{CMDB}/search_module/", body=search_response(CMDB_MODULE))
    wire.get(f"{PROJECTMAN}/modules?limit=100&offset=0", body=list_response(PM_NODE))
    wire.get(f"{PROJECTMAN}/members?limit=100&offset=0", json={"total": 1, "members": [{"user_id": OWNER}]})
    wire.add(method, url, **response)
    with pytest.raises(GatewayError) as caught:
        write(backends[name.partition(" ")[0]], call)
    assert sum(made.request.url == url and made.request.method == method for made in wire.calls) == 1
    return caught.value


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("name", WRITES)
def test_the_outcome_of_a_write_is_unknown(
    wire: responses.RequestsMock, backends: dict[str, Backend], call: CallContext, name: str, status: int
) -> None:
    """Whatever the status and the body: it may follow a commit."""
    for body in BODIES:
        error = outcome(wire, backends, name, call, body=body, status=status)
        assert type(error) is OutcomeUnknown, body


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("status", [status for status in STATUSES if status not in {302, 308, 408}])
def test_an_unpublished_code_of_the_backends_own_is_its_refusal(
    wire: responses.RequestsMock, backends: dict[str, Backend], call: CallContext, name: str, status: int
) -> None:
    """The status then tells what kind of refusal; the write was not applied."""
    own = {"result": False, "code": 1155555, "message": "m"}
    if name.startswith("projectman"):
        own = {"error_code": "PM.09999999", "error_msg": "m"}
    error = outcome(wire, backends, name, call, json=own, status=status)
    assert error.outcome == "not_applied"


@pytest.mark.parametrize("body", [b'{"error": {"code": "DEV.CH.10001"}, "status": "failed"}', b'{"status": "error"}'])
def test_a_success_that_contains_an_error_does_not_confirm_a_deletion(
    wire: responses.RequestsMock, backends: dict[str, Backend], call: CallContext, body: bytes
) -> None:
    """documented: projectman.md §4a, shape 4: services of the family answer 200 with an error."""
    error = outcome(wire, backends, "projectman delete", call, body=body, status=200)
    assert type(error) is OutcomeUnknown
