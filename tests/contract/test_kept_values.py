"""Values that a backend replaces or does not keep, over the twins and through the whole service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import SystemClock
from gateway.backends.cmdb import create_backend
from gateway.backends.projectman import create_backend as create_projectman_backend
from gateway.twins.cmdb import create_twin
from gateway.twins.projectman import create_twin as create_projectman
from gateway.twins.projectman.default_seed import DEFAULT_SEED
from gateway.twins.server import running
from tests.unit.api.problems import assert_problem, field_errors
from tests.unit.backends.connections import OWNER, PROJECT, cmdb_options, projectman_options

pytestmark = pytest.mark.loopback
ROUTES: Final = pytest.mark.parametrize("route", ["esb", "apigw"])
DRAFT: Final = {"backend": "cmdb", "scope": "1", "parent": "10", "name": "redis"}


@contextmanager
def service(build: Callable[..., Flask], route: str, version: str = "3.14", **changes: Any) -> Iterator[FlaskClient]:
    """The service over a twin with custom attributes: `remark`, `tier`, and `absent`, which the model does not have."""
    with running(create_twin({"version": version})) as url:
        connection = cmdb_options(url, route, **{"attributes": ("remark", "tier", "absent"), **changes})
        yield build({"cmdb": create_backend("cmdb", connection, SystemClock())}).test_client()


def create(client: FlaskClient, query: str = "", **changes: Any) -> Any:
    return client.post(f"/modules{query}", json={**DRAFT, **changes})


@ROUTES
def test_category_0_is_the_default_one(build: Callable[..., Flask], route: str) -> None:
    """A create with service_category_id 0 is 201 with CMDB's default category, and the same adopt is 200."""
    with service(build, route) as client:
        attributes = {"service_category_id": 0}
        created = create(client, attributes=attributes)
        assert (created.status_code, created.get_json()["attributes"]["service_category_id"]) == (201, 2)
        adopted = create(client, "?if_exists=adopt", attributes=attributes)
        assert (adopted.status_code, adopted.get_json()["id"]) == (200, created.get_json()["id"])


@ROUTES
def test_text_is_trimmed(build: Callable[..., Flask], route: str) -> None:
    """CMDB trims text attributes: the gateway compares the trimmed text, in creates, adoptions and updates."""
    with service(build, route) as client:
        attributes = {"remark": " a b\u3000"}
        created = create(client, attributes=attributes)
        assert (created.status_code, created.get_json()["attributes"]["remark"]) == (201, "a b")
        assert create(client, "?if_exists=adopt", attributes=attributes).status_code == 200
        changed = client.patch(created.headers["Location"], json={"attributes": {"remark": " c "}})
        assert (changed.status_code, changed.get_json()["attributes"]["remark"]) == (200, "c")


@ROUTES
def test_a_name_that_a_template_would_replace_is_refused(build: Callable[..., Flask], route: str) -> None:
    """CMDB names a module after its service template: another name is 422, and nothing is created."""
    with service(build, route) as client:
        for query in ("", "?if_exists=adopt"):
            problem = assert_problem(
                create(client, query, attributes={"service_template_id": 100}), 422, "validation_failed"
            )
            assert problem["errors"] == [
                {
                    "pointer": "/name",
                    "code": "pattern",
                    "detail": "The service template 100 gives its modules the name 'st'.",
                    "allowed": "st",
                }
            ]
        preview = create(client, "?validate_only=true", attributes={"service_template_id": 100}).get_json()
        assert (preview["would"], preview["checks"][-1]["code"]) == ("refuse", "validation_failed")
        assert client.get("/modules?backend=cmdb&scope=1&parent=10").get_json()["modules"] == []
        created = create(client, name="st", attributes={"service_template_id": 100})
        assert (created.status_code, created.get_json()["name"]) == (201, "st")


@ROUTES
def test_an_unknown_template_is_refused(build: Callable[..., Flask], route: str) -> None:
    """A service template that does not exist is an error of that attribute."""
    with service(build, route) as client:
        problem = assert_problem(create(client, attributes={"service_template_id": 9}), 422, "validation_failed")
        assert field_errors(problem) == {("/attributes/service_template_id", "validation_failed")}


@ROUTES
def test_an_adopted_module_has_the_templates_name(build: Callable[..., Flask], route: str) -> None:
    """A module of the template is adopted under the template's name only."""
    with service(build, route) as client:
        attributes = {"service_template_id": 100}
        created = create(client, name="st", attributes=attributes)
        adopted = create(client, "?if_exists=adopt", name="st", attributes=attributes)
        assert (adopted.status_code, adopted.get_json()["id"]) == (200, created.get_json()["id"])
        assert create(client, "?if_exists=adopt", name="other", attributes=attributes).status_code == 422


@ROUTES
def test_a_create_that_was_not_kept_is_no_success(build: Callable[..., Flask], route: str) -> None:
    """CMDB drops an attribute that the model does not have: 409 with outcome applied, the id and the difference."""
    with service(build, route) as client:
        response = create(client, attributes={"absent": "x"})
        problem = assert_problem(response, 409, "update_not_kept", "applied")
        assert problem["diff"] == {"/attributes/absent": {"wanted": "x", "found": None}}
        assert field_errors(problem) == {("/attributes/absent", "not_kept")}
        assert client.get(f"/modules/{problem['existing']}").get_json()["name"] == "redis"
        operation = client.get(problem["instance"]).get_json()
        assert (operation["state"], operation["module"]["id"]) == ("succeeded", problem["existing"])


@ROUTES
def test_an_update_that_was_not_kept_is_no_success(build: Callable[..., Flask], route: str) -> None:
    """CMDB ignores an attribute that cannot be edited: 409 that names it; the outcome tells of the other fields."""
    with service(build, route) as client:
        path = create(client, attributes={"tier": "gold"}).headers["Location"]
        attributes = {"tier": "silver"}
        problem = assert_problem(client.patch(path, json={"attributes": attributes}), 409, "update_not_kept")
        assert problem["diff"] == {"/attributes/tier": {"wanted": "silver", "found": "gold"}}
        response = client.patch(path, json={"name": "new", "attributes": attributes})
        problem = assert_problem(response, 409, "update_not_kept", "applied")
        assert field_errors(problem) == {("/attributes/tier", "not_kept")}
        assert client.get(path).get_json()["name"] == "new"


def test_a_built_in_module_of_3_9_keeps_its_name(build: Callable[..., Flask]) -> None:
    """CMDB 3.9 answers the renaming of a built-in module with success and ignores it; facts, section 9."""
    with service(build, "apigw", "3.9") as client:
        problem = assert_problem(client.patch("/modules/cmdb.1.2.3", json={"name": "new"}), 409, "update_not_kept")
        assert problem["diff"] == {"/name": {"wanted": "new", "found": "idle host"}}
        assert problem["existing"] == "cmdb.1.2.3"


@ROUTES
def test_a_name_that_3_9_refuses_has_a_pointer(build: Callable[..., Flask], route: str) -> None:
    """A name of 33 characters is refused by this CMDB, with a pointer and CMDB's limit; facts, section 9."""
    with service(build, route, "3.9") as client:
        problem = assert_problem(create(client, name="模" * 33), 422, "validation_failed")
        assert problem["errors"] == [
            {"pointer": "/name", "code": "too_long", "detail": f"'{'模' * 33}' is longer than 32 characters."}
        ]
        assert create(client, name="模" * 32).status_code == 201


def test_the_limit_of_names_can_be_configured(build: Callable[..., Flask]) -> None:
    """`name_max_characters` is enforced before anything is sent, and shown in the capabilities."""
    with service(build, "apigw", "3.9", name_max_characters=32) as client:
        problem = assert_problem(create(client, name="x" * 33), 422, "validation_failed")
        assert field_errors(problem) == {("/name", "too_long")}
        assert "upstream" not in problem
        document = client.get("/backends/cmdb").get_json()
        assert document["create_schema"]["properties"]["name"]["maxLength"] == 32
        assert create(client, name="x" * 32).status_code == 201


def test_the_default_owner_replaces_an_empty_list(build: Callable[..., Flask]) -> None:
    """On ProjectMan an empty list of owners is the connection's default owner: a create, an adopt and an update."""
    with running(create_projectman({**DEFAULT_SEED})) as url:
        connection = projectman_options(url, default_owner=OWNER, keeps_omitted_description=True)
        client = build({"pm": create_projectman_backend("pm", connection, SystemClock())}).test_client()
        draft = {"backend": "pm", "scope": PROJECT, "name": "kept", "owners": []}
        created = client.post("/modules", json=draft)
        assert (created.status_code, created.get_json()["owners"][0]["id"]) == (201, OWNER)
        assert client.post("/modules?if_exists=adopt", json=draft).status_code == 200
        changed = client.patch(created.headers["Location"], json={"owners": None})
        assert (changed.status_code, changed.get_json()["owners"][0]["id"]) == (200, OWNER)
