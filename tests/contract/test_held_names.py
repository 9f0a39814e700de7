"""Values that a backend already holds: the rules for new ones do not apply to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import SystemClock
from gateway.backends.cmdb import create_backend
from gateway.backends.projectman import create_backend as create_projectman_backend
from gateway.twins.cmdb import create_twin
from gateway.twins.cmdb.seed import DEFAULT
from gateway.twins.projectman import create_twin as create_projectman
from gateway.twins.projectman.default_seed import DEFAULT_SEED
from gateway.twins.server import running
from tests.unit.api.problems import assert_problem, field_errors
from tests.unit.backends.connections import OWNER, PROJECT, cmdb_options, projectman_options

pytestmark = pytest.mark.loopback
#: Names that no new module may have; both twins hold modules of them.
HELD: Final = ("v1.2 release", "idle host", "a.b", "tab\tand\x01", "x" * 29 + ".", "龦 é")
SCOPES: Final = {"cmdb": "1", "projectman": PROJECT}
WRITABLE: Final = ("name", "description", "owners", "attributes")


@pytest.fixture(scope="module")
def twins() -> Iterator[dict[str, str]]:
    cmdb: Any = deepcopy(dict(DEFAULT))
    cmdb["businesses"][0]["sets"][1]["modules"] = [
        {"bk_module_id": 100 + number, "bk_module_name": name, "operator": "Old User;x", "remark": None}
        for number, name in enumerate(HELD)
    ]
    projectman: Any = deepcopy(dict(DEFAULT_SEED))
    projectman["projects"][0]["modules"] += [{"module_name": name, "owner": OWNER} for name in HELD]
    with running(create_twin(cmdb)) as cmdb_url, running(create_projectman(projectman)) as projectman_url:
        yield {"cmdb": cmdb_url, "projectman": projectman_url}


@pytest.fixture
def client(build: Callable[..., Flask], twins: dict[str, str]) -> FlaskClient:
    return build(
        {
            "cmdb": create_backend("cmdb", cmdb_options(twins["cmdb"], attributes=("remark",)), SystemClock()),
            "projectman": create_projectman_backend(
                "projectman", projectman_options(twins["projectman"]), SystemClock()
            ),
        }
    ).test_client()


def find(client: FlaskClient, backend: str, name: str) -> Any:
    query = {"backend": backend, "scope": SCOPES[backend], "name": name}
    return client.get("/modules", query_string=query)


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("backend", SCOPES)
def test_a_held_name_can_be_filtered_for_and_sent_back(client: FlaskClient, backend: str, name: str) -> None:
    """A list finds the module, and its writable fields, sent back unchanged as a PATCH, are accepted."""
    (module,) = find(client, backend, name).get_json()["modules"]
    assert module["name"] == name
    capabilities = client.get(f"/backends/{backend}").get_json()["fields"]
    updatable = {field["name"] for field in capabilities if "update" in field["writable"]}
    attributes = {key: value for key, value in module["attributes"].items() if f"attributes.{key}" in updatable}
    patch = {**{field: module[field] for field in WRITABLE}, "attributes": attributes}
    for document in (patch, {"name": name, "description": None}):
        response = client.patch(f"/modules/{module['id']}", json=document)
        assert response.status_code == 200, response.get_json()
        assert response.get_json()["name"] == name
        assert [owner["id"] for owner in response.get_json()["owners"]] == [owner["id"] for owner in module["owners"]]


@pytest.mark.parametrize(
    ("backend", "name", "status"),
    [
        ("projectman", "v1.3 release, (new)", 200),
        ("projectman", "new\nline", 200),
        ("projectman", "a/b", 422),
        ("projectman", "n" * 31, 422),
        ("cmdb", "no.blank\x01", 200),
        ("cmdb", "another blank", 422),
        ("cmdb", "n" * 257, 422),
    ],
)
def test_a_name_is_changed_by_the_rule_for_changes(client: FlaskClient, backend: str, name: str, status: int) -> None:
    """A new name of an existing module obeys the backend's rule for updates; a create obeys the rule for new names."""
    (module,) = find(client, backend, "a.b").get_json()["modules"]
    response = client.patch(f"/modules/{module['id']}", json={"name": name, "description": None})
    if status == 422:
        assert {pointer for pointer, _ in field_errors(assert_problem(response, 422, "validation_failed"))} == {"/name"}
    else:
        assert (response.status_code, response.get_json()["name"]) == (status, name)
        client.patch(f"/modules/{module['id']}", json={"name": "a.b", "description": None})
    draft = {"backend": backend, "scope": module["scope"], "name": name, "owners": [module["owners"][0]["id"]]}
    draft |= {"owners": ["admin"], "parent": "10"} if backend == "cmdb" else {}
    assert_problem(client.post("/modules", json=draft), 422, "validation_failed")


def test_a_name_that_cannot_be_held(client: FlaskClient) -> None:
    """A filter for a name that is longer than any finds nothing; the update's rule is published."""
    assert find(client, "cmdb", "n" * 5_000).get_json()["modules"] == []
    fields = {field["name"]: field for field in client.get("/backends/projectman").get_json()["fields"]}
    assert fields["name"]["schema"]["x-update-pattern"] == r"^(?:[^/\\:*?]{1,30})$"
