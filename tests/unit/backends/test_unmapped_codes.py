"""An error code that a table does not contain is counted once, by the adapter that received it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import responses

from gateway.backends import cmdb, projectman
from gateway.domain.backend import Backend, BackendServices, CallContext
from gateway.domain.errors import GatewayError
from gateway.domain.module import ModuleDraft, ModulePatch, ModuleQuery
from tests.conftest import VirtualClock
from tests.unit.backends.connections import (
    CMDB_MODULE,
    OWNER,
    PM_NODE,
    PROJECT,
    cmdb_options,
    list_response,
    password,
    projectman_options,
    search_response,
)
from tests.unit.transport.doubles import Recorder

URL: Final = "https://backend.example.com"
Operation = Callable[[Backend, CallContext], Any]


@pytest.fixture
def metrics() -> Recorder:
    return Recorder()


def run(operation: Operation, backend: Backend, call: CallContext) -> None:
    with pytest.raises(GatewayError):
        operation(backend, call)


OPERATIONS: Final[dict[str, tuple[Operation, Operation]]] = {
    "create": (
        lambda backend, call: backend.create(ModuleDraft(scope="1", parent="10", name="a"), call),
        lambda backend, call: backend.create(ModuleDraft(scope=PROJECT, parent=None, name="a", owners=(OWNER,)), call),
    ),
    "list": (
        lambda backend, call: backend.list(ModuleQuery(scope="1"), 50, None, call),
        lambda backend, call: backend.list(ModuleQuery(scope=PROJECT), 50, None, call),
    ),
    "update": (
        lambda backend, call: backend.update("1.10.37825", ModulePatch(name="b"), call),
        lambda backend, call: backend.update(f"{PROJECT}.46691", ModulePatch(name="b", description="d"), call),
    ),
    "delete": (
        lambda backend, call: backend.delete("1.10.37825", call),
        lambda backend, call: backend.delete(f"{PROJECT}.46691", call),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_cmdb_counts_it_once(
    name: str, wire: responses.RequestsMock, clock: VirtualClock, call: CallContext, metrics: Recorder
) -> None:
    """The same code in a response to a read or to a write; a delete reads the module first."""
    unmapped = {"result": False, "code": 1155555, "message": "new"}
    if name == "delete":
        wire.post(f"{URL}/api/c/compapi/v2/cc/search_module/", body=search_response(CMDB_MODULE))
    component = "search_module" if name == "list" else f"{name}_module"
    wire.post(f"{URL}/api/c/compapi/v2/cc/{component}/", json=unmapped)
    backend = cmdb.create_backend("cmdb-1", cmdb_options(URL), clock, BackendServices(metrics=metrics))
    run(OPERATIONS[name][0], backend, call)
    assert metrics.codes == [("cmdb-1", "1155555")]


@pytest.mark.parametrize("name", OPERATIONS)
def test_projectman_counts_it_once(
    name: str, wire: responses.RequestsMock, clock: VirtualClock, call: CallContext, metrics: Recorder
) -> None:
    """The requests that look for the cause of a refused write do not count it again."""
    unmapped = {"error_code": "PM.09999999", "error_msg": "new"}
    project = f"{URL}/v4/projects/{PROJECT}"
    wire.assert_all_requests_are_fired = False
    if name == "list":
        wire.get(f"{project}/modules?limit=100&offset=0", json=unmapped, status=400)
    else:
        wire.get(f"{project}/modules?limit=100&offset=0", body=list_response(PM_NODE))
        wire.get(f"{project}/members?limit=100&offset=0", json={"total": 1, "members": [{"user_id": OWNER}]})
        wire.post(f"{project}/module", json=unmapped, status=400)
        wire.put(f"{project}/modules/46691", json=unmapped, status=400)
        wire.delete(f"{project}/modules/46691", json=unmapped, status=400)
    backend = projectman.create_backend("pm-1", projectman_options(URL), clock, BackendServices(metrics=metrics))
    run(OPERATIONS[name][1], backend, call)
    assert metrics.codes == [("pm-1", "PM.09999999")]


def test_iam_counts_it_once(
    wire: responses.RequestsMock, clock: VirtualClock, call: CallContext, metrics: Recorder
) -> None:
    """A token request that fails with an unknown code, under the name of the connection."""
    wire.post("https://iam.example.com/v3/auth/tokens?nocatalog=true", json={"error_code": "IAM.0099"}, status=500)
    options = projectman_options(URL, auth=password("https://iam.example.com"))
    backend = projectman.create_backend("pm-1", options, clock, BackendServices(metrics=metrics))
    run(OPERATIONS["list"][1], backend, call)
    assert metrics.codes == [("pm-1", "IAM.0099")]


def test_a_mapped_code_is_not_counted(
    wire: responses.RequestsMock, clock: VirtualClock, call: CallContext, metrics: Recorder
) -> None:
    """Only codes without a row are counted."""
    wire.post(f"{URL}/api/c/compapi/v2/cc/search_module/", json={"result": False, "code": 1199065, "message": "m"})
    backend = cmdb.create_backend("cmdb-1", cmdb_options(URL), clock, BackendServices(metrics=metrics))
    run(OPERATIONS["list"][0], backend, call)
    assert metrics.codes == []
