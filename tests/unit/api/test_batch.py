"""POST /modules:batch over fake backends."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.backend import Backend
from gateway.domain.errors import (
    BackendPermissionDenied,
    BackendUnavailable,
    Draining,
    ErrorContext,
    OutcomeUnknown,
    RateLimited,
)
from gateway.provisioning.provisioner import Provisioner
from tests.conftest import VirtualClock
from tests.unit.api.callers import auth, caller, key
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem, field_errors
from tests.unit.backends.connections import PROJECT

CMDB = {"backend": "cmdb", "scope": "1", "parent": "10", "owners": ["admin"]}
PM = {"backend": "projectman", "scope": PROJECT, "owners": ["0" * 32]}


def post(client: FlaskClient, items: list[Any], defaults: Any = CMDB, query: str = "", **headers: str) -> Any:
    document = {"items": items} if defaults is None else {"defaults": defaults, "items": items}
    return client.post(
        f"/modules:batch{query}", json=document, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def summary(response: Any) -> dict[str, int]:
    """Return the counts that are not zero."""
    return {name: count for name, count in response.get_json()["summary"].items() if count}


def test_all_created(client: FlaskClient, cmdb: FakeBackend, projectman: FakeBackend) -> None:
    """Items of two backends with parents among themselves; the answer has the order of the request."""
    items = [
        {"ref": "sub", **PM, "name": "sub", "parent_ref": "top"},
        {"ref": "web", "name": "web"},
        {"ref": "api", "name": "api", "parent": "11"},
        {"ref": "top", **PM, "name": "top"},
    ]
    response = post(client, items)
    document = response.get_json()
    assert response.status_code == 200, document
    assert response.headers["Gateway-Outcome"] == "applied"
    assert document["summary"] == {
        "created": 4,
        "adopted": 0,
        "replayed": 0,
        "failed": 0,
        "unknown": 0,
        "not_started": 0,
    }
    assert [item["ref"] for item in document["items"]] == ["sub", "web", "api", "top"]
    sub, web, api, top = (item["module"] for item in document["items"])
    assert (sub["parent"], web["parent"], api["parent"]) == (top["native_id"], "10", "11")
    assert {(item["status"], item["outcome"], item["problem"]) for item in document["items"]} == {
        (201, "applied", None)
    }
    for item in document["items"]:
        operation = client.get(f"/operations/{item['operation']}").get_json()
        assert operation["module"] == client.get(f"/modules/{item['module']['id']}").get_json() == item["module"]


@pytest.mark.parametrize("headers", [{"Idempotency_Key": "k"}, {"X_Request_Id": "r"}])
def test_repeating_is_the_resume(client: FlaskClient, cmdb: FakeBackend, headers: dict[str, str]) -> None:
    """Items that hold are replayed, the others are tried again; a changed item fails by itself."""
    items = [{"ref": name, "name": name} for name in ("a", "b", "c")]
    cmdb.fails["create"] = BackendPermissionDenied()
    assert summary(post(client, items, **headers)) == {"failed": 3}
    del cmdb.fails["create"]
    assert summary(post(client, items[:2], **headers)) == {"created": 2}
    response = post(client, items, **headers)
    assert (response.status_code, summary(response)) == (200, {"created": 1, "replayed": 2})
    changed = post(client, [{**items[0], "owners": ["other"]}, items[1]], **headers)
    assert changed.status_code == 207
    codes = {"Idempotency_Key": "idempotency_key_reused", "X_Request_Id": "module_already_exists"}
    assert changed.get_json()["items"][0]["problem"]["code"] == codes[next(iter(headers))]
    assert summary(changed) == {"failed": 1, "replayed": 1}
    assert len(cmdb.modules) == 3


def test_a_refused_item_does_not_stop_the_others(
    client: FlaskClient, cmdb: FakeBackend, projectman: FakeBackend
) -> None:
    """Its children are not started, and the problem is that of a single create."""
    projectman.modules.clear()
    client.post("/modules", json=body(cmdb, name="taken"))
    items = [
        {"name": "taken"},
        {"name": "free"},
        {**PM, "ref": "top", "name": "top"},
        {**PM, "name": "sub", "parent_ref": "top"},
    ]
    projectman.fails["create"] = BackendPermissionDenied()
    response = post(client, items)
    assert (response.status_code, response.headers["Gateway-Outcome"]) == (207, "applied")
    taken, free, top, sub = response.get_json()["items"]
    assert (taken["status"], taken["problem"]["code"], taken["ref"]) == (409, "module_already_exists", "0")
    assert taken["problem"]["existing"]
    assert (free["status"], top["status"], sub["status"], sub["not_started"]) == (201, 403, None, "parent")
    assert summary(response) == {"created": 1, "failed": 2, "not_started": 1}


def test_unknown_items(client: FlaskClient, cmdb: FakeBackend) -> None:
    """An item without a known outcome has its operation, and the batch is unknown."""
    cmdb.fails["create"] = OutcomeUnknown()
    response = post(client, [{"name": "a"}])
    (item,) = response.get_json()["items"]
    assert (response.status_code, response.headers["Gateway-Outcome"]) == (207, "unknown")
    assert (item["status"], item["outcome"], item["problem"]["instance"]) == (
        504,
        "unknown",
        f"/operations/{item['operation']}",
    )
    assert summary(response) == {"unknown": 1}


def test_adopt(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Modules that are there and equal are adopted, which changes nothing."""
    post(client, [{"name": "a"}])
    response = post(client, [{"name": "a"}, {"name": "b"}], query="?if_exists=adopt")
    assert summary(response) == {"created": 1, "adopted": 1}
    assert [(item["status"], item["outcome"]) for item in response.get_json()["items"]] == [
        (200, "not_applied"),
        (201, "applied"),
    ]


def test_validate_only(client: FlaskClient, cmdb: FakeBackend, projectman: FakeBackend) -> None:
    """Every item is checked, and nothing is sent."""
    client.post("/modules", json=body(cmdb, name="taken"))
    cmdb.sent.clear()
    items = [{"name": "taken"}, {**PM, "ref": "t", "name": "t"}, {**PM, "name": "s", "parent_ref": "t"}]
    response = post(client, items, query="?validate_only=true")
    assert response.status_code == 200
    assert [item["preview"]["would"] for item in response.get_json()["items"]] == ["conflict", "create", "create"]
    assert cmdb.writes == projectman.writes == []


MISTAKES: list[tuple[Any, set[tuple[str, str]]]] = [
    ({"items": []}, {("/items", "range")}),
    ({"items": [{**CMDB, "name": "a"}] * 101}, {("/items", "range")}),
    ({}, {("/items", "required")}),
    ({"items": {}}, {("/items", "type")}),
    ({"items": [1]}, {("/items/0", "type")}),
    ({"items": [{"name": "a"}], "more": 1}, {("/more", "unknown_field"), ("/items/0/backend", "required")}),
    ({"items": [{"name": "a"}], "defaults": []}, {("/defaults", "type"), ("/items/0/backend", "required")}),
    ({"items": [{"name": "a"}], "defaults": {**CMDB, "name": "x"}}, {("/defaults/name", "unknown_field")}),
    ({"items": [{"name": "a"}, {"name": "b"}], "defaults": {**CMDB, "owners": [1]}}, {("/defaults/owners/0", "type")}),
    ({"items": [{"name": "a"}, {"name": "b"}], "defaults": {**CMDB, "scope": "x"}}, {("/defaults/scope", "pattern")}),
    ({"items": [{"name": "a"}], "defaults": {"backend": "nope"}}, {("/defaults/backend", "backend_unknown")}),
    (
        {"items": [{"name": "a b"}, {"name": "c"}, {}], "defaults": CMDB},
        {("/items/0/name", "pattern"), ("/items/2/name", "required")},
    ),
    (
        {"items": [{"name": "a b"}, {"name": ""}], "defaults": CMDB},
        {("/items/0/name", "pattern"), ("/items/1/name", "required")},
    ),
    ({"items": [{"name": "a", "ref": "x y"}], "defaults": CMDB}, {("/items/0/ref", "pattern")}),
    (
        {"items": [{"name": "a", "ref": "r"}, {"name": "b", "ref": "r"}], "defaults": CMDB},
        {("/items/1/ref", "duplicate")},
    ),
    ({"items": [{"name": "a"}, {"name": "a"}], "defaults": CMDB}, {("/items/1/name", "duplicate")}),
    ({"items": [{"name": "a", "parent_ref": "1"}], "defaults": CMDB}, {("/items/0/parent_ref", "unsupported_field")}),
    ({"items": [{"name": "a", "parent_ref": "9"}], "defaults": PM}, {("/items/0/parent_ref", "choice")}),
    ({"items": [{"name": "a", "parent_ref": "0"}], "defaults": PM}, {("/items/0/parent_ref", "choice")}),
    (
        {"items": [{"name": "a", "parent_ref": "1"}, {"name": "b", "parent_ref": "0"}], "defaults": PM},
        {("/items/0/parent_ref", "choice"), ("/items/1/parent_ref", "choice")},
    ),
    (
        {"items": [{"name": "a", "parent": "1", "parent_ref": "1"}, {"name": "b"}], "defaults": PM},
        {("/items/0/parent_ref", "repeated")},
    ),
    (
        {"items": [{"name": "a"}, {**PM, "name": "b", "parent_ref": "0"}], "defaults": CMDB},
        {("/items/1/parent_ref", "choice")},
    ),
]


@pytest.mark.parametrize(("document", "expected"), MISTAKES)
def test_one_mistake_refuses_the_whole_batch(
    client: FlaskClient, cmdb: FakeBackend, document: Any, expected: set[tuple[str, str]]
) -> None:
    """All errors are listed where their values stand, in the item or in the defaults, and nothing is sent."""
    response = client.post("/modules:batch", json=document)
    assert response.status_code == 422
    assert field_errors(response.get_json()) == expected
    assert cmdb.sent == []


def test_refs_with_a_key(client: FlaskClient) -> None:
    """A key needs refs, because an index changes when an item is added before it."""
    problem = assert_problem(
        post(client, [{"name": "a"}, {"ref": "b", "name": "b"}], Idempotency_Key="k"), 422, "validation_failed"
    )
    assert field_errors(problem) == {("/items/0/ref", "required")}


def test_sizes(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A batch may have 256 KiB; a single create still 64."""
    filler = [
        {"name": f"m{number}", "owners": [f"owner-{count}-{number:02}" for count in range(140)]}
        for number in range(100)
    ]
    assert summary(post(client, filler)) == {"created": 100}
    assert_problem(
        client.post("/modules:batch", data=b"[" * 262_145, content_type="application/json"), 413, "payload_too_large"
    )
    assert_problem(
        client.post("/modules", data=b"[" * 65_537, content_type="application/json"), 413, "payload_too_large"
    )


def test_allow_list(build: Callable[..., Flask], cmdb: FakeBackend) -> None:
    """One item outside the allow-list refuses the batch, and nothing is sent; adopt needs `read` too."""
    backends: Mapping[str, Backend] = {"cmdb": cmdb}
    client = build(backends, auth(caller("portal", "create:cmdb:1"))).test_client()
    items: list[Any] = [{"name": "a"}, {"name": "b", "scope": "2"}]
    assert_problem(
        client.post("/modules:batch", json={"defaults": CMDB, "items": items}, headers=key("portal")), 403, "forbidden"
    )
    adopt = client.post(
        "/modules:batch?if_exists=adopt", json={"defaults": CMDB, "items": items[:1]}, headers=key("portal")
    )
    assert_problem(adopt, 403, "forbidden")
    assert cmdb.sent == []


def test_items_count_towards_the_callers_rate(
    build: Callable[..., Flask], cmdb: FakeBackend, clock: VirtualClock
) -> None:
    """The request counts as its first item; the others are paced, and what does not fit is not started."""
    counted: list[str] = []

    class Limiter:
        def acquire(self, name: str, _per_second: float) -> float:
            counted.append(name)
            return 0.0 if len(counted) % 2 else 4.0

    client = build({"cmdb": cmdb}, auth(caller("portal", "*:cmdb:*", requests_per_second=1.0)), Limiter()).test_client()
    items = [{"name": f"m{number}"} for number in range(5)]
    response = client.post("/modules:batch", json={"defaults": CMDB, "items": items}, headers=key("portal"))
    assert summary(response) == {"created": 4, "not_started": 1}
    assert {item.get("not_started") for item in response.get_json()["items"]} == {None, "deadline"}
    assert clock.monotonic() < 3_000_000_010.0


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([RateLimited(context=ErrorContext(retry_after=2.0))], {"created": 1}),
        ([RateLimited()] * 3, {"created": 1}),
        ([RateLimited(context=ErrorContext(retry_after=60.0))], {"failed": 1}),
        ([Draining()], {"not_started": 1}),
        ([BackendUnavailable()], {"failed": 1}),
        ([RuntimeError("bug")], {"unknown": 1}),
    ],
)
def test_errors_of_an_item(
    client: FlaskClient,
    provisioner: Provisioner,
    monkeypatch: pytest.MonkeyPatch,
    errors: list[Exception],
    expected: dict[str, int],
) -> None:
    """A backend's rate limit is waited for within the deadline, a drain starts nothing; a bug is unknown."""
    create, failures = provisioner.create, iter(errors)

    def fail_first(*arguments: Any) -> Any:
        if (error := next(failures, None)) is not None:
            raise error
        return create(*arguments)

    monkeypatch.setattr(type(provisioner), "create", lambda _self, *arguments: fail_first(*arguments))
    assert summary(post(client, [{"name": "a"}])) == expected


def test_a_module_that_appears_after_the_shared_list(client: FlaskClient, projectman: FakeBackend) -> None:
    """A conflict with a module that the list of the batch does not contain is explained by another search."""
    find, hidden = projectman.find_by_natural_key, iter([True, True])

    def find_late(draft: Any, call: Any) -> Any:
        is_hidden = next(hidden, False)
        return () if is_hidden else find(draft, call)

    post(client, [{**PM, "name": "a"}], None)
    projectman.find_by_natural_key = find_late  # type: ignore[method-assign]
    (item,) = post(client, [{**PM, "name": "a"}], None).get_json()["items"]
    assert (item["problem"]["code"], item["problem"].get("existing")) == ("module_already_exists", None)
    next(hidden, None)
    (item,) = post(client, [{**PM, "name": "a"}], None).get_json()["items"]
    assert item["problem"]["existing"].startswith("projectman.")


def test_an_item_whose_turn_comes_too_late(client: FlaskClient, clock: VirtualClock) -> None:
    """Nothing is sent for an item for which no time is left."""
    spawn = clock.spawn
    clock.spawn = lambda work: (clock.sleep(9.95), spawn(work))[1]  # type: ignore[method-assign, func-returns-value]
    assert summary(post(client, [{"name": "a"}])) == {"not_started": 1}


def test_an_item_that_does_not_end(client: FlaskClient, clock: VirtualClock) -> None:
    """At the deadline the answer says what is known, and the rest is unknown."""
    clock.spawn = lambda work: None  # type: ignore[method-assign]
    clock.event = type("Never", (), {"wait": lambda *_: False, "set": lambda *_: None})  # type: ignore[method-assign]
    assert summary(post(client, [{"name": "a"}])) == {"unknown": 1}


RUNS = itertools.count()
NAMES = st.sampled_from("abcde")
ITEMS = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"parent_of": st.integers(0, 5), "owner": st.sampled_from("xy")}),
    min_size=1,
    max_size=6,
    unique_by=lambda item: item["name"],
)


def test_random_batches(client: FlaskClient, projectman: FakeBackend) -> None:
    """Whatever is repeated, changed or refused: each name is made once at most, and the summary counts."""

    @given(batches=st.lists(st.tuples(ITEMS, st.sets(NAMES), st.booleans()), min_size=1, max_size=4))
    def check(batches: list[Any]) -> None:
        projectman.modules.clear()
        run = next(RUNS)
        for items, refused, with_key in batches:
            documents = []
            for index, item in enumerate(items):
                document: dict[str, Any] = {
                    "ref": item["name"],
                    "name": item["name"],
                    "owners": [item.get("owner", "x").rjust(32, "0")],
                }
                if item.get("parent_of", index) < index:
                    document["parent_ref"] = items[item["parent_of"]]["name"]
                documents.append(document)
            create = projectman.create

            def refuse(draft: Any, call: Any, refused: Any = refused, create: Any = create) -> Any:
                if draft.name in refused:
                    raise BackendPermissionDenied
                return create(draft, call)

            projectman.create = refuse  # type: ignore[method-assign]
            before = len(projectman.modules)
            headers = {"Idempotency_Key": f"{run}"} if with_key else {}
            response = post(client, documents, {name: PM[name] for name in ("backend", "scope")}, **headers)
            projectman.create = create  # type: ignore[method-assign]
            names = Counter((module.parent, module.name) for module in projectman.modules.values())
            assert set(names.values()) <= {1}
            counts = response.get_json()["summary"]
            assert sum(counts.values()) == len(documents)
            assert counts["created"] == len(names) - before
            assert (response.status_code == 200) == (counts["created"] + counts["replayed"] == len(documents))
            for item in response.get_json()["items"]:
                held = item["module"]
                assert (held is None) == (item["status"] not in {200, 201})
                assert held is None or projectman.modules[held["native_id"]].name == item["ref"]
                parent = next(document.get("parent_ref") for document in documents if document["ref"] == item["ref"])
                assert held is None or parent is None or projectman.modules[held["parent"]].name == parent

    check()
