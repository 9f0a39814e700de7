"""Etags, lists of operations, verdicts and the change log over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.api.page_tokens import encode_page_token
from gateway.domain.backend import Backend
from gateway.domain.errors import BackendTimeout, JournalUnavailable, Outcome, OutcomeUnknown
from gateway.domain.journal import Journal
from gateway.domain.module import Module
from gateway.domain.operation import State
from gateway.provisioning.change_feed import ChangeFeed
from gateway.provisioning.provisioner import Provisioner
from tests.conftest import VirtualClock
from tests.unit.api.callers import auth, caller, key
from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem
from tests.unit.journals.records import make_change, make_settlement

OPERATOR = key("operator")


@pytest.fixture
def callers(build: Callable[..., Flask], cmdb: FakeBackend) -> FlaskClient:
    """The service with a portal, an operator and an auditor; each of the latter for one scope."""
    backends: Mapping[str, Backend] = {"cmdb": cmdb}
    entries = [
        caller("portal", "*:cmdb:*"),
        caller("operator", "operate,read:cmdb:1"),
        caller("auditor", "audit:cmdb:1"),
        caller("other", "*,operate,audit:cmdb:9"),
    ]
    return build(backends, auth(*entries)).test_client()


@pytest.fixture
def unknown(callers: FlaskClient, cmdb: FakeBackend) -> str:
    """The path of an operation whose outcome is unknown."""
    cmdb.fails["create"] = OutcomeUnknown()
    headers = {**key("portal"), "Prefer": "respond-async"}
    path = callers.post("/modules", json=body(cmdb), headers=headers).headers["Location"]
    del cmdb.fails["create"]
    return path


def make_ambiguous(journal: Journal, path: str) -> None:
    journal.settle(path.rpartition("/")[2], make_settlement(State.AMBIGUOUS))


def end_window(journal: Journal, path: str) -> None:
    evidence = {"at": 1.0, "what": "nothing_found", "hits": []}
    journal.reschedule(path.rpartition("/")[2], due_at=2e9, observed_seconds=1e6, evidence=evidence)


def resolve(client: FlaskClient, path: str, headers: Mapping[str, str] = OPERATOR, **members: Any) -> Any:
    return client.post(f"{path}:resolve", json={"reason": "seen in the console", **members}, headers=headers)


def test_etag_is_the_same_everywhere(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Create, read, list, a replay, the operation and an update that changes nothing give the same etag."""
    headers = {"Idempotency-Key": "k"}
    created = client.post("/modules", json=body(cmdb), headers=headers)
    etag, path = created.get_json()["etag"], created.headers["Location"]
    listed = client.get("/modules?backend=cmdb&scope=1").get_json()["modules"][0]
    operation = client.get("/operations").get_json()["operations"][0]
    answers = [client.get(path), client.post("/modules", json=body(cmdb), headers=headers), client.patch(path, json={})]
    assert {etag, listed["etag"], operation["module"]["etag"], *(answer.get_json()["etag"] for answer in answers)} == {
        etag
    }
    assert {answer.headers["ETag"] for answer in (created, *answers)} == {f'"{etag}"'}
    renamed = client.patch(path, json={"name": "renamed"})
    assert renamed.get_json()["etag"] == client.get(path).get_json()["etag"] != etag


def test_etag_is_null_where_a_reply_lacks_a_field(client: FlaskClient, cmdb: FakeBackend) -> None:
    """An old CMDB answers a create with the id alone."""
    cmdb.unavailable = ("owners",)
    created = client.post("/modules", json=body(cmdb))
    assert created.get_json()["etag"] is None
    assert "ETag" not in created.headers


@pytest.mark.parametrize("method", ["patch", "delete"])
@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("*", 200),
        ('"ETAG"', 200),
        ("ETAG", 200),
        ('"x", "ETAG"', 200),
        ('W/"ETAG"', 412),
        ('"x"', 412),
        ("", 412),
        ('"ETAG', 412),
        ('""', 412),
    ],
)
def test_if_match(client: FlaskClient, cmdb: FakeBackend, method: str, header: str, status: int) -> None:
    """One of several etags, or `*`, lets the change through; without a match, and for weak etags, it is 412."""
    created = client.post("/modules", json=body(cmdb))
    etag = created.get_json()["etag"]
    cmdb.sent.clear()
    arguments: dict[str, Any] = {"json": {"name": "renamed"}} if method == "patch" else {}
    headers = {"If-Match": header.replace("ETAG", etag)}
    response = getattr(client, method)(created.headers["Location"], headers=headers, **arguments)
    if status == 412:
        problem = assert_problem(response, 412, "precondition_failed")
        assert (problem["etag"], problem["outcome"], response.headers["ETag"]) == (etag, "not_applied", f'"{etag}"')
        assert cmdb.modules
        assert next(iter(cmdb.modules.values())).name != "renamed"
    else:
        assert response.status_code == (200 if method == "patch" else 204)


def test_operations_of_all_callers(callers: FlaskClient, cmdb: FakeBackend, unknown: str) -> None:
    """With `operate` on the scope all operations are listed, with their callers; without it only the own ones."""
    answers = {
        name: callers.get("/operations", headers=key(name)).get_json()["operations"]
        for name in ("portal", "operator", "other")
    }
    assert [len(answers[name]) for name in answers] == [1, 1, 0]
    assert answers["operator"][0]["caller"] == "portal"
    assert "caller" not in answers["portal"][0]
    assert callers.get(unknown, headers=OPERATOR).get_json() == answers["operator"][0]
    assert_problem(callers.get(unknown, headers=key("other")), 404, "operation_not_found")


@pytest.mark.parametrize(
    ("query", "number"),
    [("", 3), ("state=succeeded,reconciling", 3), ("state=refused", 0), ("backend=cmdb&scope=1", 3), ("scope=2", 0)],
)
def test_pages_of_operations(client: FlaskClient, cmdb: FakeBackend, query: str, number: int) -> None:
    """Filters leave out operations, and pages join to the whole, the newest first."""
    for name in ("a", "b", "c"):
        client.post("/modules", json=body(cmdb, name=name))
    ids: list[str] = []
    token: str | None = ""
    while token is not None:
        page = client.get(f"/operations?page_size=2&{query}&{token and f'page_token={token}'}").get_json()
        ids += [operation["id"] for operation in page["operations"]]
        token = page["next_page_token"]
    assert ids == [f"op-{count}" for count in range(number, 0, -1)]


@pytest.mark.parametrize(
    "query",
    [
        "state=done",
        "state=",
        "page_size=0",
        "page_token=x",
        "caller=portal",
        "state=refused&state=sending",
        "scope=%00",
        f"page_token={encode_page_token(chr(0xD800), [None, None])}",
    ],
)
def test_bad_queries(client: FlaskClient, query: str) -> None:
    """Unknown states, tokens and parameters are errors."""
    assert_problem(client.get(f"/operations?{query}"), 422, "validation_failed")


@pytest.mark.parametrize("state", [State.RECONCILING, State.AMBIGUOUS])
@pytest.mark.parametrize("verdict", ["applied", "not_applied"])
def test_resolve(
    callers: FlaskClient,
    cmdb: FakeBackend,
    journal: Journal,
    unknown: str,
    clock: VirtualClock,
    verdict: str,
    state: State,
) -> None:
    """A verdict settles the operation, once, and is recorded with who, why and what was found first."""
    clock.sleep(600.0)
    if state is State.AMBIGUOUS:
        make_ambiguous(journal, unknown)
    else:
        end_window(journal, unknown)
    members: dict[str, Any] = {"verdict": verdict}
    hits = []
    if verdict == "applied":
        cmdb.modules["7"] = module = Module(
            backend="cmdb", ref="1.10.7", native_id="7", scope="1", parent="10", name=body(cmdb)["name"]
        )
        members["module"], hits = module.id, ["7"]
    response = resolve(callers, unknown, **members)
    document = response.get_json()
    assert response.status_code == 200
    assert document["outcome"] == response.headers["Gateway-Outcome"] == verdict
    assert document["state"] == ("succeeded" if verdict == "applied" else "not_applied")
    evidence = document["evidence"][-1]
    assert (evidence["what"], evidence["hits"], evidence["by"]) == (f"resolved:{verdict}", hits, "operator")
    assert evidence["reason"] == "seen in the console"
    assert "by" not in callers.get(unknown, headers=key("portal")).get_json()["evidence"][-1]
    assert_problem(resolve(callers, unknown, **members), 409, "operation_not_resolvable")


def test_resolve_too_early(callers: FlaskClient, journal: Journal, unknown: str) -> None:
    """Within the window a create may still be applied: a reconciling one is left, an ambiguous one not denied."""
    assert_problem(resolve(callers, unknown, verdict="not_applied"), 409, "operation_not_resolvable")
    make_ambiguous(journal, unknown)
    assert_problem(resolve(callers, unknown, verdict="not_applied"), 409, "operation_not_resolvable")


def test_resolve_races_the_reconciler(
    callers: FlaskClient, cmdb: FakeBackend, journal: Journal, unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operation that was settled after it was read is left as it is."""
    end_window(journal, unknown)
    operation_id = unknown.rpartition("/")[2]
    find = cmdb.find_by_natural_key

    def settle_meanwhile(*arguments: Any) -> Any:
        journal.settle(operation_id, make_settlement(State.NOT_APPLIED))
        return find(*arguments)

    monkeypatch.setattr(cmdb, "find_by_natural_key", settle_meanwhile)
    assert_problem(resolve(callers, unknown, verdict="not_applied"), 409, "operation_not_resolvable")
    assert [entry["what"] for entry in journal.get(operation_id).evidence][-1] != "resolved:not_applied"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"verdict": "maybe"}, "/verdict"),
        ({}, "/verdict"),
        ({"verdict": "applied"}, "/module"),
        ({"verdict": "not_applied", "module": "cmdb.1.10.1"}, "/module"),
        ({"verdict": "not_applied", "reason": " "}, "/reason"),
        ({"verdict": "not_applied", "reason": "x" * 501}, "/reason"),
        ({"verdict": "not_applied", "reason": 1}, "/reason"),
        ({"verdict": "applied", "module": "cmdb.1.10.404"}, "/module"),
        ({"verdict": "applied", "module": "cmdb.1.10.8"}, "/module"),
    ],
)
def test_verdicts_that_are_refused(
    callers: FlaskClient, cmdb: FakeBackend, journal: Journal, unknown: str, members: dict[str, Any], pointer: str
) -> None:
    """A malformed verdict, a missing module and one with another natural key are errors of their members."""
    end_window(journal, unknown)
    cmdb.modules["8"] = Module(backend="cmdb", ref="1.10.8", native_id="8", scope="1", parent="10", name="another")
    problem = assert_problem(resolve(callers, unknown, **members), 422, "validation_failed")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


def test_a_lookup_that_fails_does_not_prevent_a_verdict(
    callers: FlaskClient, cmdb: FakeBackend, journal: Journal, unknown: str, clock: VirtualClock
) -> None:
    """Its evidence then has no hits; a module that cannot be read cannot be named."""
    clock.sleep(600.0)
    end_window(journal, unknown)
    cmdb.fails |= {"find": BackendTimeout(), "get": BackendTimeout()}
    assert resolve(callers, unknown, verdict="applied", module="cmdb.1.10.1").status_code == 504
    assert resolve(callers, unknown, verdict="not_applied").get_json()["evidence"][-1]["hits"] is None


def test_who_may_resolve(
    callers: FlaskClient, unknown: str, build: Callable[..., Flask], projectman: FakeBackend
) -> None:
    """The caller of the create may not, another scope's operator does not see it; without its connection none can."""
    assert_problem(resolve(callers, unknown, key("portal"), verdict="not_applied"), 403, "forbidden")
    assert_problem(resolve(callers, unknown, key("other"), verdict="not_applied"), 404, "operation_not_found")
    without = build({"projectman": projectman}, auth(caller("operator", "operate:*:*"))).test_client()
    assert_problem(resolve(without, unknown, verdict="not_applied"), 422, "backend_unknown")
    assert without.get(unknown, headers=OPERATOR).get_json()["scope"] == "1"


def test_changes(callers: FlaskClient, cmdb: FakeBackend, change_feed: ChangeFeed) -> None:
    """The log has each write with caller, fields before and after and outcome; `next_after` continues."""
    portal = key("portal")
    path = callers.post("/modules", json=body(cmdb), headers=portal).headers["Location"]
    etag = callers.get(path, headers=portal).headers["ETag"]
    callers.patch(path, json={"name": "renamed"}, headers={**portal, "If-Match": etag})
    callers.delete(path, headers=portal)
    change_feed.run_once()
    page = callers.get("/changes", headers=key("auditor")).get_json()
    assert [(entry["action"], entry["outcome"], entry["caller"]) for entry in page["changes"]] == [
        ("create", "applied", "portal"),
        ("update", "applied", "portal"),
        ("delete", "applied", "portal"),
    ]
    assert page["changes"][1]["fields"] == {"name": {"from": body(cmdb)["name"], "to": "renamed"}}
    assert {entry["module"] for entry in page["changes"]} == {path.rpartition("/")[2]}
    again = callers.get(f"/changes?after={page['next_after']}", headers=key("auditor")).get_json()
    assert again == {"changes": [], "next_after": page["next_after"]}
    assert callers.get("/changes", headers=key("other")).get_json()["changes"] == []
    assert_problem(callers.get("/changes", headers=portal), 403, "forbidden")


@pytest.mark.parametrize("query", ["after=x", "after=-1", "page_size=201", "from=1", "module=%00"])
def test_bad_change_queries(client: FlaskClient, query: str) -> None:
    """Malformed numbers and unknown parameters are errors."""
    assert_problem(client.get(f"/changes?{query}"), 422, "validation_failed")


def test_expired_changes(client: FlaskClient, cmdb: FakeBackend, change_feed: ChangeFeed, clock: VirtualClock) -> None:
    """A number whose followers were deleted is 410; a new start is not."""
    for name in ("a", "b", "c"):
        client.post("/modules", json=body(cmdb, name=name))
        change_feed.run_once()
    clock.sleep(91 * 86_400.0)
    client.post("/modules", json=body(cmdb, name="d"))
    change_feed.run_once()
    assert_problem(client.get("/changes?after=1"), 410, "changes_expired")
    assert [entry["seq"] for entry in client.get("/changes?after=0").get_json()["changes"]] == [4]


class Ticking:
    """An event of the feed: a wait passes the time, and lets something happen."""

    def __init__(self, clock: VirtualClock, happen: Callable[[], None]) -> None:
        self._clock, self._happen = clock, happen

    def set(self) -> None:
        pass

    def wait(self, seconds: float) -> bool:
        self._clock.sleep(seconds)
        self._happen()
        return False


@pytest.mark.parametrize(
    ("appears_after", "seconds", "number"), [(2, "25", 1), (40, "25", 0), (2, "1", 0), (2, "x", 0)]
)
def test_long_poll(
    client: FlaskClient,
    journal: Journal,
    change_feed: ChangeFeed,
    clock: VirtualClock,
    appears_after: int,
    seconds: str,
    number: int,
) -> None:
    """A reader waits for new entries as long as it prefers, and is answered when there are some."""
    ticks = iter(range(1, 100))

    def happen() -> None:
        if next(ticks) == appears_after:
            change = make_change("cmdb.1.10.1", backend="cmdb")
            journal.begin_change(change)
            journal.end_change(change.id, Outcome.APPLIED, at=1.0)
        change_feed.run_once()

    clock.event = lambda: Ticking(clock, happen)  # type: ignore[assignment, method-assign, return-value]
    change_feed._news = Ticking(clock, happen)
    began_at = clock.monotonic()
    response = client.get("/changes", headers={"Prefer": f"wait={seconds}"})
    assert len(response.get_json()["changes"]) == number
    waited = clock.monotonic() - began_at
    assert waited == (appears_after if number else float(seconds) if seconds.isdigit() else 0.0)
    assert response.headers.get("Preference-Applied") == (f"wait={seconds}" if seconds.isdigit() else None)


def test_waiting_readers_cost_one_read(
    client: FlaskClient,
    cmdb: FakeBackend,
    change_feed: ChangeFeed,
    journal: Journal,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader that begins to wait behind entries that are no longer kept reads the journal itself; a drain ends it."""
    change_feed._waiting = 1
    for _ in range(3):
        change_feed.run_once()
    reads: list[int] = []
    list_changes = journal.list_changes

    def record(*arguments: Any, **values: Any) -> Any:
        reads.append(values["after"])
        return list_changes(*arguments, **values)

    monkeypatch.setattr(type(journal), "list_changes", lambda _self, *arguments, **values: record(*arguments, **values))
    monkeypatch.setattr("gateway.provisioning.change_feed._MAX_KEPT", 1)
    client.post("/modules", json=body(cmdb, name="a"))
    client.post("/modules", json=body(cmdb, name="b"))
    change_feed.run_once()
    assert (reads, [entry.seq for entry in change_feed._kept], change_feed._kept_after) == ([0], [2], 1)
    change_feed.is_draining = lambda: True
    assert client.get("/changes?after=2", headers={"Prefer": "wait=25"}).get_json() == {"changes": [], "next_after": 2}
    assert clock.monotonic() == 3_000_000_000.0


def test_a_full_batch_is_followed_by_another_at_once(
    change_feed: ChangeFeed, journal: Journal, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed pauses only when there is nothing more to publish."""
    published = iter([500, 0])

    def publish(_self: object, _limit: int) -> int:
        if (count := next(published, None)) is None:
            raise SystemExit
        return count

    monkeypatch.setattr(type(journal), "publish_changes", publish)
    began_at = clock.monotonic()
    with pytest.raises(SystemExit):
        change_feed.run()
    assert clock.monotonic() - began_at == 1.0


def test_the_feed_survives_failures(change_feed: ChangeFeed, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed journal and a bug end a pass, not the loop."""
    failures: list[Exception] = [JournalUnavailable(), RuntimeError("bug")]

    def fail(_self: object, _limit: int) -> int:
        if failures:
            raise failures.pop()
        raise SystemExit

    monkeypatch.setattr(type(journal), "publish_changes", fail)
    with pytest.raises(SystemExit):
        change_feed.run()


def test_credentials_are_in_no_entry(
    client: FlaskClient, cmdb: FakeBackend, provisioner: Provisioner, change_feed: ChangeFeed
) -> None:
    """Keys, tokens and idempotency keys of a request are not part of the log."""
    headers = {
        "X-Api-Key": "canary-1",
        "Authorization": "Bearer canary-2",
        "Idempotency-Key": "canary-3",
        "X-Bk-Token": "canary-4",
    }
    path = client.post("/modules", json=body(cmdb), headers=headers).headers["Location"]
    client.delete(path, headers=headers)
    change_feed.run_once()
    response = client.get("/changes")
    assert len(response.get_json()["changes"]) == 2
    assert "canary" not in response.get_data(as_text=True)
    assert "canary" not in client.get("/operations").get_data(as_text=True)
