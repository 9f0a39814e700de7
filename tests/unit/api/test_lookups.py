"""Lookups over fake backends: parameters, permissions, page tokens and errors. The fakes return every item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.callers import Action, AllowRule, Caller
from gateway.domain.errors import BackendReplyInvalid, BackendTimeout, BackendUnavailable, RateLimited, ScopeNotFound
from gateway.domain.lookup import LookupItem, LookupQuery
from tests.unit.api.callers import auth, caller, key
from tests.unit.api.fake_backend import FakeBackend
from tests.unit.api.problems import assert_problem, field_errors
from tests.unit.backends.connections import PROJECT

SCOPES: Final = "/backends/cmdb/scopes"
PARENTS: Final = f"{SCOPES}/1/parents"
OWNERS: Final = f"/backends/projectman/scopes/{PROJECT}/owners"
ITEMS: Final = [
    LookupItem(id=str(number), name=f"Name-{number}", path=f"top / Name-{number}") for number in range(1, 9)
]


@pytest.fixture(autouse=True)
def _choices(cmdb: FakeBackend, projectman: FakeBackend) -> None:
    for backend in (cmdb, projectman):
        backend.choices = [*ITEMS]


@pytest.mark.parametrize("path", [SCOPES, PARENTS, OWNERS])
def test_format(client: FlaskClient, cmdb: FakeBackend, projectman: FakeBackend, path: str) -> None:
    """An item has id, name, path, usable and why; the code of the reason stands only where it is not usable."""
    managed = replace(ITEMS[0], why="template_managed")
    cmdb.choices = projectman.choices = [managed, ITEMS[1]]
    assert client.get(path).get_json() == {
        "items": [
            {"id": "1", "name": "Name-1", "path": "top / Name-1", "usable": False, "why": "template_managed"},
            {"id": "2", "name": "Name-2", "path": "top / Name-2", "usable": True, "why": None},
        ],
        "next_page_token": None,
    }


def test_query(client: FlaskClient, cmdb: FakeBackend) -> None:
    """The parameters reach the backend as they are, by default with page size 50; what does not match is left out."""
    items = client.get(f"{PARENTS}?q=%20E-3&page_size=7").get_json()["items"]
    assert (items, cmdb.sent) == ([], [("lookup", (LookupQuery(kind="parents", scope="1", text=" E-3"), 7, None))])
    assert [item["id"] for item in client.get(f"{SCOPES}?q=E-3").get_json()["items"]] == ["3"]
    assert cmdb.sent[1] == ("lookup", (LookupQuery(kind="scopes", text="E-3"), 50, None))


@pytest.mark.parametrize(
    ("query", "place", "code"),
    [
        ("page_size=0", "?page_size", "range"),
        ("page_size=201", "?page_size", "range"),
        ("page_size=x", "?page_size", "type"),
        ("page_token=x", "?page_token", "pattern"),
        ("page_token=", "?page_token", "pattern"),
        ("name=x", "?name", "unknown_field"),
        ("scope=1", "?scope", "unknown_field"),
        ("q=a&q=b", "?q", "repeated"),
    ],
)
@pytest.mark.parametrize("path", [SCOPES, PARENTS, OWNERS])
def test_bad_query(client: FlaskClient, cmdb: FakeBackend, path: str, query: str, place: str, code: str) -> None:
    """A parameter that is unknown, repeated or malformed is 422, and nothing is sent."""
    problem = assert_problem(client.get(f"{path}?{query}"), 422, "validation_failed")
    assert field_errors(problem) == {(place, code)}
    assert cmdb.sent == []


@pytest.mark.parametrize(
    "other",
    [
        f"{SCOPES}?q=other",
        SCOPES,
        f"{PARENTS}?q=name",
        "/backends/projectman/scopes?q=name",
        f"/backends/projectman/scopes/{PROJECT}/parents?q=name",
        f"{OWNERS}?q=name",
        "/modules?backend=cmdb&scope=1",
    ],
)
def test_token_of_another_lookup(client: FlaskClient, cmdb: FakeBackend, projectman: FakeBackend, other: str) -> None:
    """A token is bound to connection, kind, scope and q, not to the page size."""
    first = client.get(f"{SCOPES}?q=name&page_size=3").get_json()
    token = first["next_page_token"]
    second = client.get(f"{SCOPES}?q=name&page_size=9&page_token={token}").get_json()
    assert [item["id"] for item in first["items"] + second["items"]] == [item.id for item in ITEMS]
    cmdb.sent.clear()
    separator = "&" if "?" in other else "?"
    assert_problem(client.get(f"{other}{separator}page_token={token}"), 422, "validation_failed")
    assert cmdb.sent == projectman.sent == []


def test_parents_of_two_scopes_have_different_tokens(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A token of one scope's parents is refused for another scope."""
    cmdb.scopes = ("1", "2")
    token = client.get(f"{PARENTS}?page_size=3").get_json()["next_page_token"]
    assert_problem(client.get(f"{SCOPES}/2/parents?page_token={token}"), 422, "validation_failed")


def test_capabilities_name_the_lookups(client: FlaskClient, cmdb: FakeBackend) -> None:
    """What they do not name is 404 not_supported, and nothing is sent; so it is for an unknown scope."""
    assert client.get("/backends/cmdb").get_json()["lookups"] == ["scopes", "parents"]
    assert client.get("/backends/projectman").get_json()["lookups"] == ["scopes", "parents", "owners"]
    for scope in ("1", "999", "x"):
        assert_problem(client.get(f"{SCOPES}/{scope}/owners"), 404, "not_supported")
    assert cmdb.sent == []


def test_a_backend_without_lookups(build: Callable[..., Flask], cmdb: FakeBackend) -> None:
    """A backend that names none gets no request."""
    cmdb.capabilities = replace(cmdb.capabilities, lookups=())
    client = build({"cmdb": cmdb}).test_client()
    for path in (SCOPES, PARENTS, f"{SCOPES}/1/owners"):
        assert_problem(client.get(path), 404, "not_supported")
    assert (client.get("/backends/cmdb").get_json()["lookups"], cmdb.sent) == ([], [])


@pytest.mark.parametrize(
    "scope", ["999", "0", "01", "x", "-1", "1.10", "%D9%A1", "1%0a", "1%00", "%ff", "9223372036854775808"]
)
def test_unknown_scope(client: FlaskClient, cmdb: FakeBackend, scope: str) -> None:
    """A scope that is unknown or malformed is 404 scope_not_found; a malformed one is not sent."""
    problem = assert_problem(client.get(f"{SCOPES}/{scope}/parents"), 404, "scope_not_found")
    assert "errors" not in problem
    assert len(cmdb.sent) == (scope == "999")


@pytest.mark.parametrize("path", [SCOPES, PARENTS, OWNERS])
def test_unknown_backend(client: FlaskClient, build: Callable[..., Flask], cmdb: FakeBackend, path: str) -> None:
    """A connection that is unknown is 404 not_found, and so is one that the caller's allow-list does not name."""
    name = path.split("/")[2]
    assert_problem(client.get(path.replace(name, "nope")), 404, "not_found")
    restricted = build({name: cmdb}, auth(caller("portal", "*:other:*"))).test_client()
    assert_problem(restricted.get(path, headers=key("portal")), 404, "not_found")
    assert_problem(restricted.get(path), 401, "unauthenticated")
    assert cmdb.sent == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BackendUnavailable, 503),
        (BackendTimeout, 504),
        (BackendReplyInvalid, 502),
        (RateLimited, 429),
        (ScopeNotFound, 404),
    ],
)
@pytest.mark.parametrize("path", [PARENTS, OWNERS])
def test_backend_failure(
    client: FlaskClient, cmdb: FakeBackend, projectman: FakeBackend, path: str, error: Any, status: int
) -> None:
    """Failures of the backend are those of other reads."""
    cmdb.fails["lookup"] = projectman.fails["lookup"] = error()
    assert_problem(client.get(path), status, error.code)


@pytest.mark.parametrize("path", [SCOPES, PARENTS])
def test_passed_credential(client: FlaskClient, cmdb: FakeBackend, path: str) -> None:
    """A connection that passes the caller's credential through requires it, before anything is sent."""
    cmdb.capabilities = replace(cmdb.capabilities, credential_header="X-Bk-Token")
    assert_problem(client.get(path), 401, "unauthenticated")
    assert cmdb.sent == []
    assert client.get(path, headers={"X-Bk-Token": "token"}).status_code == 200


_RULES = st.builds(
    lambda actions, connection, scope: f"{','.join(sorted(actions))}:{connection}:{scope}",
    st.sets(st.sampled_from(["create", "read", "update", "delete", "operate", "audit", "*"]), min_size=1, max_size=2),
    st.sampled_from(["cmdb", "other", "*"]),
    st.sampled_from(["*", *(item.id for item in ITEMS), "nosuch", "01"]),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(allow=st.lists(_RULES, max_size=4), text=st.sampled_from(["", "E-1", "E-", "x"]), size=st.integers(1, 9))
def test_allow_list(build: Callable[..., Flask], cmdb: FakeBackend, allow: list[str], text: str, size: int) -> None:
    """The pages together have exactly the scopes of the rules for `read` or `create`, whatever the backend returns.

    Parents need one of these actions in their scope. What is forbidden does not reach the backend.
    """
    rules = [rule.split(":") for rule in allow]
    seen = [(actions.split(","), scope) for actions, connection, scope in rules if connection in {"cmdb", "*"}]
    permitted = [scope for actions, scope in seen if {"read", "create", "*"} & {*actions}]
    expected = [i.id for i in ITEMS if {i.id, "*"} & {*permitted} and text.casefold() in i.name.casefold()]
    client = build({"cmdb": cmdb}, auth(caller("portal", *allow))).test_client()
    cmdb.sent.clear()
    path, ids = f"{SCOPES}?q={quote(text)}&page_size={size}", []
    token = ""
    while True:
        response = client.get(f"{path}{token}", headers=key("portal"))
        if not seen:
            assert_problem(response, 404, "not_found")
            break
        page = response.get_json()
        ids += [item["id"] for item in page["items"]]
        if page["next_page_token"] is None:
            break
        token = f"&page_token={page['next_page_token']}"
    assert ids == (expected if seen else [])
    assert bool(cmdb.sent) == bool(permitted)
    cmdb.sent.clear()
    status = client.get(PARENTS, headers=key("portal")).status_code
    assert status == (404 if not seen else 200 if {"1", "*"} & {*permitted} else 403)
    assert len(cmdb.sent) == (status == 200)


def test_the_allow_list_reaches_the_backend(build: Callable[..., Flask], cmdb: FakeBackend) -> None:
    """A backend can search for the scopes of the allow-list only."""
    client = build({"cmdb": cmdb}, auth(caller("portal", "read:cmdb:7", "create:*:1", "delete:cmdb:2"))).test_client()
    assert [item["id"] for item in client.get(SCOPES, headers=key("portal")).get_json()["items"]] == ["1", "7"]
    assert cmdb.sent[0][1][0].scopes == {"1", "7"}


@pytest.mark.parametrize(
    ("more", "connection", "actions", "scopes"),
    [
        ((), "cmdb", ("read", "create"), frozenset({"1", "2"})),
        ((), "cmdb", ("update",), frozenset({"3"})),
        ((), "none", ("read",), frozenset()),
        (("*:cmdb:*",), "cmdb", ("read",), None),
        (("*:cmdb:*",), "none", ("create",), frozenset({"2"})),
    ],
)
def test_allowed_scopes(
    more: tuple[str, ...], connection: str, actions: tuple[Action, ...], scopes: frozenset[str] | None
) -> None:
    """None stands for every scope; a rule of another connection or action adds nothing."""
    rules = ("read:cmdb:1", "create:*:2", "update:cmdb:3", "*:other:4", *more)
    portal = Caller(name="portal", allow=tuple(map(AllowRule.parse, rules)), principal="portal")
    assert portal.allowed_scopes(connection, actions) == scopes
