"""The table of retry rules, without a network: what is repeated, with which key, and for how long."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
import urllib3.exceptions
from responses import RequestsMock

from gateway.client import ApiError, Client, OutcomeAmbiguous, OutcomeUnknown, Unavailable, rules
from gateway.client.rules import Action, Event, Kind

URL = "http://gateway.test/mount"
MODULE = {"id": "cmdb.1.10.7", "name": "web", "owners": [{"id": "admin"}], "attributes": {"a": "1"}}
CALLS: dict[Kind, tuple[str, str, Callable[[Client], Any]]] = {
    Kind.READ: ("GET", "/modules/m", lambda client: client.get("m")),
    Kind.CREATE: ("POST", "/modules", lambda client: client.create({"name": "web"})),
    Kind.CHANGE: ("PATCH", "/modules/m", lambda client: client.update("m", {"name": "web"})),
    Kind.GUARDED_CHANGE: ("PATCH", "/modules/m", lambda client: client.update("m", {"name": "web"}, if_match="e")),
}


@pytest.fixture
def mocked() -> Iterator[RequestsMock]:
    with RequestsMock(registry=responses.registries.OrderedRegistry) as mock:
        yield mock


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def client(sleeps: list[float]) -> Iterator[Client]:
    with Client(URL, sleep=sleeps.append, timeout=40.0) as client:
        yield client


def problem(code: str, status: int, *, retryable: bool = False, outcome: str = "not_applied", **members: Any) -> Any:
    """Return the arguments of a response of the gateway."""
    document = {"code": code, "status": status, "detail": code, "outcome": outcome, "retryable": retryable, **members}
    return {"status": status, "json": document, "headers": {"Gateway-Outcome": outcome}}


def refused() -> requests.ConnectionError:
    reason = urllib3.exceptions.NewConnectionError(None, "refused")  # type: ignore[arg-type]
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", reason))  # type: ignore[arg-type]


SUCCESS: dict[str, Any] = {"status": 200, "json": MODULE, "headers": {"Gateway-Outcome": "applied"}}
UNKNOWN = problem("outcome_unknown", 504, retryable=True, outcome="unknown")
FOLLOWED = problem("outcome_unknown", 504, retryable=True, outcome="unknown", instance="/mount/operations/o1")
EVENTS: dict[str, tuple[Event, dict[str, Any]]] = {
    "refused connection": (Event.NOT_SENT, {"body": refused()}),
    "connect timeout": (Event.NOT_SENT, {"body": requests.ConnectTimeout()}),
    "reset": (Event.LOST, {"body": requests.ConnectionError("reset")}),
    "read timeout": (Event.LOST, {"body": requests.ReadTimeout()}),
    "503 of a proxy": (Event.PROXY, {"status": 503, "body": "<html>"}),
    "503 without its mark": (Event.PROXY, problem("overloaded", 503, retryable=True) | {"headers": {}}),
    "502 of a proxy": (Event.PROXY, {"status": 502}),
    "504 of a proxy": (Event.PROXY, {"status": 504}),
    "408 of a proxy": (Event.PROXY, {"status": 408}),
    "429 of a proxy": (Event.NOT_APPLIED, {"status": 429}),
    "429": (Event.NOT_APPLIED, problem("rate_limited", 429, retryable=True)),
    "503": (Event.NOT_APPLIED, problem("overloaded", 503, retryable=True)),
    "409": (Event.NOT_APPLIED, problem("module_busy", 409, retryable=True)),
    "504": (Event.UNKNOWN, UNKNOWN),
    "500": (Event.FINAL, problem("internal", 500, outcome="unknown")),
    "409 for good": (Event.FINAL, problem("module_already_exists", 409)),
    "redirect": (Event.FINAL, {"status": 302, "headers": {"Location": "/login"}}),
    "login page": (
        Event.FINAL,
        {"status": 200, "body": "<html>Sign in</html>", "headers": {"Gateway-Outcome": "applied"}},
    ),
}


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
@pytest.mark.parametrize(("event", "answer"), EVENTS.values(), ids=EVENTS)
def test_the_table_is_what_happens(
    mocked: RequestsMock, client: Client, kind: Kind, event: Event, answer: dict[str, Any]
) -> None:
    """An attempt that fails so is repeated, followed or raised as the table says, with the same key and request id."""
    method, path, call = CALLS[kind]
    mocked.add(method, URL + path, **answer)
    action = rules.action(event, kind)
    if action is Action.RAISE:
        with pytest.raises(ApiError) as caught:
            call(client)
        assert len(mocked.calls) == 1
        outcome = "not_applied" if kind is Kind.READ else "unknown"
        if event is Event.FINAL and "json" in answer:
            outcome = answer["json"]["outcome"]
        assert caught.value.outcome == outcome
    else:
        mocked.add(method, URL + path, **SUCCESS)
        assert call(client)["id"] == MODULE["id"]
    for name in ("Idempotency-Key", "X-Request-Id", "If-Match", "User-Agent"):
        assert len({request.request.headers.get(name) for request in mocked.calls}) == 1
    assert ("Idempotency-Key" in mocked.calls[0].request.headers) is (kind is Kind.CREATE)
    assert mocked.calls[0].request.headers["User-Agent"].startswith("module-gateway-client/0")
    assert 0 < int(mocked.calls[0].request.headers["X-Request-Timeout-Ms"]) <= 15_000


def test_the_readme_has_the_same_table() -> None:
    """Its rows are the events and its columns the kinds, in the same order."""
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \|$", text.partition("| what happened |")[2].partition("\n\n")[0], re.MULTILINE)
    words = [[cell.split()[0].upper() for cell in row.strip("| ").split(" | ")[1:]] for row in rows]
    assert words == [[rules.action(event, kind).name for kind in Kind] for event in Event]


def test_every_create_has_a_key_of_its_own(mocked: RequestsMock, client: Client) -> None:
    """Two creates of the same module are two; a key that is given is used."""
    for _ in range(3):
        mocked.post(f"{URL}/modules", **SUCCESS)
    client.create({"name": "web"})
    client.create({"name": "web"})
    client.create({"name": "web"}, idempotency_key="mine")
    keys = [call.request.headers["Idempotency-Key"] for call in mocked.calls]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


@pytest.mark.parametrize("state", ["succeeded", "not_applied"])
def test_an_unknown_create_is_followed_until_it_is_settled(
    mocked: RequestsMock, client: Client, sleeps: list[float], state: str
) -> None:
    """The repetition, which the gateway answers from its journal or sends anew, comes only after that."""
    mocked.post(
        f"{URL}/modules",
        **problem("outcome_unknown", 504, retryable=True, outcome="unknown", instance="/x/operations/o1"),
    )
    mocked.get(f"{URL}/operations/o1", json={"id": "o1", "state": "reconciling"})
    mocked.get(f"{URL}/operations/o1", json={"id": "o1", "state": state})
    mocked.post(f"{URL}/modules", **SUCCESS)
    assert client.create({"name": "web"})["id"] == MODULE["id"]
    assert sleeps == [0.25, 0.0]


def test_an_operation_that_cannot_be_read_is_no_end(mocked: RequestsMock, client: Client) -> None:
    """Then the create is repeated with its key, which is as safe."""
    mocked.post(
        f"{URL}/modules",
        **problem("outcome_unknown", 504, retryable=True, outcome="unknown", instance="/operations/o1"),
    )
    mocked.get(f"{URL}/operations/o1", **problem("operation_not_found", 404))
    mocked.post(f"{URL}/modules", **problem("outcome_ambiguous", 504, outcome="unknown"))
    with pytest.raises(OutcomeAmbiguous):
        client.create({"name": "web"})


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (problem("journal_unavailable", 503, retryable=True), "unknown"),
        (problem("unauthenticated", 401), "unknown"),
        ({"status": 403, "body": "denied"}, "unknown"),
        (problem("module_already_exists", 409), "not_applied"),
        (problem("validation_failed", 422), "not_applied"),
        (problem("backend_permission_denied", 403), "not_applied"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_a_refusal_says_of_the_attempts_before(mocked: RequestsMock, last: dict[str, Any], outcome: str) -> None:
    """After a lost answer only a refusal that follows the look at the key says that nothing was applied."""
    mocked.post(f"{URL}/modules", body=requests.ConnectionError("reset"))
    mocked.post(f"{URL}/modules", **last | {"headers": {**last.get("headers", {}), "Retry-After": "3600"}})
    with pytest.raises(ApiError) as caught:
        Client(URL, sleep=lambda _: None).create({"name": "web"}, idempotency_key="mine")
    assert (caught.value.outcome, caught.value.idempotency_key, caught.value.retry_after) == (outcome, "mine", 3600)
    assert isinstance(caught.value, OutcomeUnknown) is (outcome == "unknown")


def test_retry_after_is_obeyed(mocked: RequestsMock, client: Client, sleeps: list[float]) -> None:
    """Never less than it says; where it ends after the timeout, the error is raised at once and says so."""
    for seconds in ("3", "39", "3600"):
        mocked.get(
            f"{URL}/modules/m", **problem("overloaded", 503, retryable=True) | {"headers": {"Retry-After": seconds}}
        )
    with pytest.raises(Unavailable) as caught:
        client.get("m")
    assert [int(seconds) for seconds in sleeps] == [3, 39]
    assert caught.value.retry_after == 3600


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "Wed, 01 Jan 2025 00:00:30 GMT", "Date": "Wed, 01 Jan 2025 00:00:10 GMT"}, 20.0),
        ({"Retry-After": "Wed, 01 Jan 2025 00:00:30 -0000"}, 30.0),
        ({"Retry-After": "Tue, 31 Dec 2024 00:00:00 GMT", "Date": "never"}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds or a date, which is compared with the answer's Date."""
    assert rules.parse_retry_after(headers, datetime(2025, 1, 1, tzinfo=UTC)) == seconds
    assert seconds is None or rules.parse_retry_after({"Retry-After": headers["Retry-After"]}) is not None


def test_backoff_grows_and_is_limited() -> None:
    """The longest pauses double up to eight seconds."""
    assert [rules.backoff(attempt, None, 1.0) for attempt in (1, 2, 3, 6, 100)] == [0.25, 0.5, 1.0, 8.0, 8.0]
    assert rules.backoff(100, None, 0.0) == 0.0


@pytest.mark.parametrize(
    ("changes", "current", "is_applied"),
    [
        ({"name": " web "}, {}, True),
        ({"owners": [{"id": "admin"}]}, {}, True),
        ({"owners": ["admin"], "attributes": {"a": "1"}}, {}, True),
        ({"attributes": {"a": "2"}}, {}, False),
        ({"name": "web"}, {"name": "other"}, False),
        ({"owners": None}, {}, False),
    ],
)
def test_a_lost_update_is_proven_by_a_read(
    mocked: RequestsMock, client: Client, changes: Any, current: dict[str, Any], is_applied: bool
) -> None:
    """With If-Match it is repeated; if the etag no longer holds, the module shows whether it was applied."""
    mocked.patch(f"{URL}/modules/m", body=requests.ReadTimeout())
    mocked.patch(f"{URL}/modules/m", **problem("precondition_failed", 412))
    mocked.get(f"{URL}/modules/m", json={**MODULE, **current})
    if is_applied:
        assert client.update("m", changes, if_match='"e"')["id"] == MODULE["id"]
    else:
        with pytest.raises(OutcomeUnknown):
            client.update("m", changes, if_match="e")
    assert mocked.calls[1].request.headers["If-Match"] == '"e"'


@pytest.mark.parametrize("if_match", ["*", None])
def test_an_update_that_nothing_proves_is_not_repeated(
    mocked: RequestsMock, client: Client, if_match: str | None
) -> None:
    """Neither with `*`, nor for a description, which not every etag covers."""
    mocked.patch(f"{URL}/modules/m", body=requests.ReadTimeout())
    with pytest.raises(OutcomeUnknown):
        client.update("m", {"name": "web"}, if_match=if_match)
    mocked.patch(f"{URL}/modules/m", **UNKNOWN)
    with pytest.raises(OutcomeUnknown):
        client.update("m", {"name": "web", "description": "x"}, if_match="e")


@pytest.mark.parametrize(("etag", "is_gone"), [("e", True), (None, False)])
def test_a_lost_delete(mocked: RequestsMock, client: Client, etag: str | None, is_gone: bool) -> None:
    """With an etag it is repeated, and a module that is gone is deleted; without one it is not repeated."""
    mocked.delete(f"{URL}/modules/m", body=requests.ReadTimeout())
    if is_gone:
        mocked.delete(f"{URL}/modules/m", **problem("module_not_found", 404))
        client.delete("m", if_match=etag)
    else:
        with pytest.raises(OutcomeUnknown):
            client.delete("m", if_match=etag, cascade=True)


def test_a_delete_needs_the_gateways_mark(mocked: RequestsMock, client: Client) -> None:
    """A 204 of anybody else is no success."""
    mocked.delete(f"{URL}/modules/m", status=204, headers={"Gateway-Outcome": "applied"})
    client.delete("m")
    mocked.delete(f"{URL}/modules/m", status=204)
    with pytest.raises(OutcomeUnknown, match="which the gateway does not answer"):
        client.delete("m")


def test_an_untrusted_certificate_is_final(mocked: RequestsMock, client: Client) -> None:
    """It is not repeated, and nothing was sent."""
    reason = urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed"))
    error = requests.exceptions.SSLError(urllib3.exceptions.MaxRetryError(None, "/", reason))  # type: ignore[arg-type]
    mocked.patch(f"{URL}/modules/m", body=error)
    with pytest.raises(Unavailable) as caught:
        client.update("m", {"name": "web"})
    assert (caught.value.code, caught.value.outcome) == ("connection_failed", "not_applied")


def test_what_cannot_be_sent_is_an_error_of_the_caller(client: Client) -> None:
    """It is no lost connection, and it is not repeated."""
    with pytest.raises(requests.exceptions.InvalidHeader):
        client.create({"name": "web"}, idempotency_key="a\nb")


def batch_item(ref: str, **members: Any) -> dict[str, Any]:
    return {"ref": ref, "status": 201, "outcome": "applied", "module": MODULE, "problem": None, **members}


RETRYABLE = {"module": None, "outcome": "unknown", "problem": UNKNOWN["json"]}
NOT_STARTED = {"module": None, "status": None, "outcome": "not_applied"}


def test_a_batch_is_resumed_until_every_item_is_done(mocked: RequestsMock, client: Client) -> None:
    """Only what can still be created is sent again, with its parents and the same key."""
    failed = {"module": None, "outcome": "not_applied", "problem": problem("validation_failed", 422)["json"]}
    first = [
        batch_item("0"),
        batch_item("bad", **failed),
        batch_item("lost", **RETRYABLE),
        batch_item("late", **NOT_STARTED, not_started="deadline"),
        batch_item("child", **NOT_STARTED, not_started="parent"),
        batch_item("orphan", **NOT_STARTED, not_started="parent"),
        batch_item("below", **RETRYABLE),
    ]
    second = [batch_item(ref) for ref in ("0", "lost", "late", "child")] + [batch_item("below", outcome="not_applied")]
    for items in (first, second):
        mocked.post(f"{URL}/modules:batch", status=207, json={"items": items}, headers={"Gateway-Outcome": "applied"})
    result = client.batch(
        [
            {"name": "a"},
            {"ref": "bad"},
            {"ref": "lost"},
            {"ref": "late"},
            {"ref": "child", "parent_ref": "lost"},
            {"ref": "orphan", "parent_ref": "bad"},
            {"ref": "below", "parent_ref": "0"},
        ],
        defaults={"backend": "cmdb"},
    )
    sent = [json.loads(call.request.body or b"") for call in mocked.calls]
    assert [item["ref"] for item in sent[1]["items"]] == ["0", "lost", "late", "child", "below"]
    assert sent[1]["defaults"] == {"backend": "cmdb"}
    assert len({call.request.headers["Idempotency-Key"] for call in mocked.calls}) == 1
    assert result["summary"] == {"created": 4, "adopted": 1, "replayed": 0, "failed": 1, "unknown": 0, "not_started": 1}


def test_a_batch_that_is_broken_off_tells_what_is_known(mocked: RequestsMock, client: Client) -> None:
    """An error of a later attempt does not hide the results of the first one; without any, it is raised."""
    items = {"items": [batch_item("0"), batch_item("1", **RETRYABLE)]}
    mocked.post(f"{URL}/modules:batch", status=207, json=items, headers={"Gateway-Outcome": "unknown"})
    mocked.post(f"{URL}/modules:batch", **problem("forbidden", 403))
    assert client.batch([{"name": "a"}, {"name": "b"}])["summary"]["unknown"] == 1
    mocked.post(f"{URL}/modules:batch", **problem("forbidden", 403))
    with pytest.raises(ApiError):
        client.batch([{"name": "a"}])


def test_wait(mocked: RequestsMock, client: Client) -> None:
    """An operation that is not settled in time is an unknown outcome."""
    mocked.get(f"{URL}/operations/o1", json={"id": "o1", "state": "sending"})
    with pytest.raises(OutcomeUnknown, match="The operation o1 is sending"):
        client.wait("o1", timeout=0.2)
