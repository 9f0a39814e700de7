"""Lookups of the whole service over both twins: permissions of users, credentials, faults, and evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import SystemRuntime
from gateway.backends import cmdb, projectman
from gateway.backends.projectman.options import Passthrough
from gateway.domain.backend import Backend
from gateway.domain.module import Module
from gateway.resilience import RetryingBackend
from gateway.twins.cmdb import create_twin as cmdb_twin
from gateway.twins.projectman import create_twin as projectman_twin
from gateway.twins.server import running
from tests.unit.api.callers import auth, caller, key
from tests.unit.api.problems import assert_problem
from tests.unit.backends.connections import OWNER, PROJECT, cmdb_options, projectman_options

pytestmark = pytest.mark.loopback
PATHS: Final = {
    "search_business": "/backends/cmdb/scopes",
    "search_set": "/backends/cmdb/scopes/1/parents",
    "list_projects": "/backends/pm/scopes",
    "list_modules": f"/backends/pm/scopes/{PROJECT}/parents",
    "list_members": f"/backends/pm/scopes/{PROJECT}/owners",
}


@pytest.fixture
def clock() -> SystemRuntime:
    """The machine's clock and threads, for the service of `build`."""
    return SystemRuntime()


@pytest.fixture
def urls() -> Iterator[Mapping[str, str]]:
    users = {"admin": {}, "tom": {"denied": [1, 3]}, "eve": {"allowed": []}}
    with running(cmdb_twin({"users": users})) as cmdb_url, running(projectman_twin()) as projectman_url:
        yield {"cmdb": cmdb_url, "pm": projectman_url}


@pytest.fixture
def seen() -> list[Module]:
    """The modules that were recorded."""
    return []


@pytest.fixture
def backends(urls: Mapping[str, str], clock: SystemRuntime, seen: list[Module]) -> dict[str, Backend]:
    """Connections as the composition root creates them, and one that passes tokens through."""
    passthrough = projectman_options(urls["pm"], auth=Passthrough())
    adapters = (
        cmdb.create_backend("cmdb", cmdb_options(urls["cmdb"]), clock),
        projectman.create_backend("pm", projectman_options(urls["pm"]), clock),
        projectman.create_backend("own-token", passthrough, clock),
    )
    return {adapter.name: RetryingBackend(adapter, clock, record_seen=seen.extend) for adapter in adapters}


@pytest.fixture
def client(build: Callable[..., Flask], backends: dict[str, Backend]) -> FlaskClient:
    return build(backends).test_client()


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.get_json()
    return [item["id"] for item in response.get_json()["items"]]


def inject(urls: Mapping[str, str], operation: str, **rule: Any) -> None:
    """Make the operation of the twin that has it fail."""
    url = urls["cmdb" if operation.startswith("search") else "pm"]
    assert requests.post(f"{url}/twin/faults", json={"operation": operation, **rule}, timeout=5).ok


def test_what_each_lookup_shows(client: FlaskClient) -> None:
    """The twins' seeds: paths, and what cannot be used with its reason. Archived businesses are not there."""
    shown = {path: client.get(path).get_json()["items"] for path in PATHS.values()}
    rows = {
        path: [(item["name"], item["path"], item["why"]) for item in items if item["usable"] is (item["why"] is None)]
        for path, items in shown.items()
    }
    assert rows[PATHS["search_business"]] == [(name, name, None) for name in ("demo", "other", "Demo (staging)")]
    assert ("templated", "templated", "template_managed") in rows[PATHS["search_set"]]
    assert rows[PATHS["list_projects"]][1:] == [("other", "other", None), ("Demo 看板", "Demo 看板", "not_supported")]
    assert rows[PATHS["list_modules"]] == [
        ("platform", "platform", None),
        ("platform-api", "platform / platform-api", None),
        ("platform-api-v4", "platform / platform-api / platform-api-v4", "limit_exceeded"),
    ]
    assert ("demo_user_name_06", "模块demo", None) in rows[PATHS["list_members"]]


def test_q_is_no_pattern(client: FlaskClient) -> None:
    """Any case, in any script; characters of patterns stand for themselves."""
    for text, expected in (("DEMO", ["1", "3"]), ("(st", ["3"]), (".*", []), ("o (S", ["3"]), ("^demo$", [])):
        assert ids(client.get("/backends/cmdb/scopes", query_string={"q": text})) == expected
    assert len(ids(client.get("/backends/pm/scopes", query_string={"q": "O 看"}))) == 1
    assert ids(client.get(PATHS["list_members"], query_string={"q": "模块DEMO"})) == [OWNER]


@pytest.mark.parametrize(
    ("user", "allow", "expected"),
    [
        ("admin", "read:cmdb:*", ["1", "2", "3"]),
        ("tom", "read:cmdb:*", ["2"]),
        ("eve", "create:cmdb:*", []),
        ("tom", "create:cmdb:1", []),
        ("admin", "create:cmdb:3", ["3"]),
        ("admin", "read:cmdb:4", []),  # archived
        ("admin", "delete:cmdb:1", []),
    ],
)
def test_the_acting_user_and_the_allow_list(
    build: Callable[..., Flask], backends: dict[str, Backend], user: str, allow: str, expected: list[str]
) -> None:
    """A business is shown if CMDB shows it to the acting user and the allow-list covers it, on pages of any size."""
    portal = replace(caller("portal", allow), acting_user=user)
    client = build(backends, auth(portal)).test_client()
    for page_size in (1, 50):
        shown: list[str] = []
        token = ""
        while True:
            response = client.get(f"/backends/cmdb/scopes?page_size={page_size}{token}", headers=key("portal"))
            shown += ids(response)
            if (next_token := response.get_json()["next_page_token"]) is None:
                break
            token = f"&page_token={next_token}"
        assert shown == expected


@pytest.mark.parametrize("path", [path for path in PATHS.values() if "/pm/" in path])
def test_passed_tokens(client: FlaskClient, urls: Mapping[str, str], path: str) -> None:
    """The caller's own token is needed, and the backend checks it."""
    user = {"name": "demo_user_name_06", "password": "demo-password", "domain": {"name": "demo-account"}}
    identity = {"methods": ["password"], "password": {"user": user}}
    login = {"auth": {"identity": identity, "scope": {"project": {"name": "cn-north-4"}}}}
    token = requests.post(f"{urls['pm']}/v3/auth/tokens", json=login, timeout=5).headers["X-Subject-Token"]
    own = path.replace("/pm/", "/own-token/")
    assert ids(client.get(own, headers={"X-Auth-Token": token})) == ids(client.get(path))
    for headers in ({}, {"X-Auth-Token": "junk"}):
        assert_problem(client.get(own, headers=headers), 401, "unauthenticated")


@pytest.mark.parametrize("operation", PATHS)
@pytest.mark.parametrize(
    ("rule", "status", "code"),
    [
        ({"fault": "html"}, 502, "backend_reply_invalid"),
        ({"fault": "status", "status": 404}, 502, "backend_misconfigured"),
        ({"fault": "rate-limited"}, 429, "rate_limited"),
    ],
)
def test_faults(
    client: FlaskClient, urls: Mapping[str, str], operation: str, rule: dict[str, Any], status: int, code: str
) -> None:
    """The errors of a failing backend are those of other reads."""
    inject(urls, operation, **rule, times=9)
    assert_problem(client.get(PATHS[operation]), status, code)


@pytest.mark.parametrize("operation", PATHS)
def test_a_transient_fault_is_retried(client: FlaskClient, urls: Mapping[str, str], operation: str) -> None:
    """A connection that is lost once does not reach the caller."""
    inject(urls, operation, fault="drop", times=1)
    assert client.get(PATHS[operation]).status_code == 200


@pytest.mark.parametrize("path", [PATHS["search_set"], PATHS["list_modules"], PATHS["list_members"]])
def test_an_unknown_scope(client: FlaskClient, path: str) -> None:
    """A scope that the backend does not have is 404 scope_not_found."""
    assert_problem(client.get(path.replace(PROJECT, "f" * 32).replace("/1/", "/999/")), 404, "scope_not_found")


def test_modules_that_a_lookup_reads_are_recorded(client: FlaskClient, seen: list[Module]) -> None:
    """A module that was among the parents is not the result of a later create, whatever the text of the lookup."""
    assert client.get(f"{PATHS['list_modules']}?q=absent").get_json()["items"] == []
    assert [module.native_id for module in seen] == ["1", "2", "3"]
