"""The service over a CMDB 3.9, whose codes have other causes than those of later releases (facts, section 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import SystemClock
from gateway.backends.cmdb import create_backend
from gateway.domain.backend import Backend
from gateway.twins.cmdb import create_twin
from gateway.twins.server import running
from tests.unit.backends.connections import cmdb_options

pytestmark = pytest.mark.loopback
DRAFT: Final[dict[str, Any]] = {"backend": "cmdb", "scope": "1", "parent": "10", "name": "web"}
SEED: Final = {
    "version": "3.9",
    "iam": False,
    "attributes": [{"bk_property_id": "app_key", "bk_property_type": "singlechar", "unique": True}],
}


class Release39:
    """The service and its twin."""

    def __init__(self, client: FlaskClient, url: str) -> None:
        self.client = client
        self._url = url

    def inject(self, **rule: Any) -> None:
        requests.post(f"{self._url}/twin/faults", json=rule, timeout=5).raise_for_status()

    def create(self, **changes: Any) -> Any:
        return self.client.post("/modules", json={**DRAFT, **changes})

    def writes(self) -> list[str]:
        ledger = requests.get(f"{self._url}/twin/ledger", timeout=5).json()
        return [write["operation"] for write in ledger["writes"]]


@pytest.fixture
def cmdb(build: Callable[[Mapping[str, Backend]], Flask]) -> Iterator[Release39]:
    with running(create_twin(SEED)) as url:
        options = cmdb_options(url, "apigw", attributes=("app_key",))
        yield Release39(build({"cmdb": create_backend("cmdb", options, SystemClock())}).test_client(), url)


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"parent": "999"}, "parent_not_found", "/parent"),
        ({"scope": "999"}, "scope_not_found", "/scope"),
        ({"scope": "999", "parent": "998"}, "scope_not_found", "/scope"),
        ({"scope": "2"}, "parent_not_found", "/parent"),
        ({"parent": "999", "attributes": {"service_category_id": 2}}, "parent_not_found", "/parent"),
        ({"attributes": {"service_category_id": 999}}, "validation_failed", "/attributes/service_category_id"),
    ],
)
def test_what_a_create_did_not_find(cmdb: Release39, changes: dict[str, Any], code: str, pointer: str) -> None:
    """The answer names what is wrong in the request, and never a field that was not sent."""
    response = cmdb.create(**changes)
    problem = response.get_json()
    assert (response.status_code, problem["code"]) == (422, code)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert response.headers["Gateway-Outcome"] == "not_applied"
    assert cmdb.writes() == []


def test_which_field_collides(cmdb: Release39) -> None:
    """The name has a code of its own in 3.9; another unique field is named."""
    cmdb.create(attributes={"app_key": "shop"})
    same_name = cmdb.create().get_json()
    assert (same_name["code"], same_name["existing"]) == ("module_already_exists", "cmdb.1.10.37825")
    same_key = cmdb.create(name="api", attributes={"app_key": "shop"})
    problem = same_key.get_json()
    assert (same_key.status_code, problem["code"]) == (409, "unique_field_conflict")
    assert [error["pointer"] for error in problem["errors"]] == ["/attributes/app_key"]
    adopted = cmdb.client.post("/modules?if_exists=adopt", json={**DRAFT, "attributes": {"app_key": "shop"}})
    assert (adopted.status_code, adopted.get_json()["id"]) == (200, "cmdb.1.10.37825")
    assert cmdb.writes() == ["create_module"]


@pytest.mark.parametrize("effect", ["never", "now"])
@pytest.mark.parametrize(("method", "operation", "success"), [("PATCH", "update", 200), ("DELETE", "delete", 204)])
def test_a_change_that_met_another_one(cmdb: Release39, effect: str, method: str, operation: str, success: int) -> None:
    """Nothing changed: 409 module_busy with Retry-After; the change was kept: a success."""
    ref = cmdb.create().get_json()["id"]
    cmdb.inject(fault="write-conflict", operation=operation, effect=effect)
    response = cmdb.client.open(f"/modules/{ref}", method=method, json={"name": "api"} if method == "PATCH" else None)
    if effect == "now":
        assert (response.status_code, response.headers["Gateway-Outcome"]) == (success, "applied")
        return
    assert (response.status_code, response.get_json()["code"]) == (409, "module_busy")
    assert (response.headers["Retry-After"], response.headers["Gateway-Outcome"]) == ("1", "not_applied")
    assert cmdb.writes() == ["create_module"]


@pytest.mark.parametrize("effect", ["never", "now"])
def test_a_create_that_met_another_transaction(cmdb: Release39, effect: str) -> None:
    """It is followed as an operation, whatever became of it."""
    cmdb.inject(fault="write-conflict", operation="create", effect=effect)
    response = cmdb.create()
    assert (response.status_code, response.get_json()["code"]) == (504, "outcome_unknown")
    assert response.get_json()["instance"].startswith("/operations/")


@pytest.mark.parametrize("ref", ["cmdb.1.10.999", "cmdb.999.11.31", "cmdb.1.10.31", "cmdb.1.999.31"])
def test_a_module_that_is_not_there_is_not_deleted(cmdb: Release39, ref: str) -> None:
    """CMDB answers success to a wrong id, business or set: the service answers 404."""
    assert cmdb.client.delete(f"/modules/{ref}").status_code == 404
    assert cmdb.client.get("/modules/cmdb.1.11.31").status_code == 200


def test_a_built_in_module_is_not_deleted(cmdb: Release39) -> None:
    """1101098."""
    response = cmdb.client.delete("/modules/cmdb.1.2.3")
    assert (response.status_code, response.get_json()["code"]) == (409, "built_in_protected")
