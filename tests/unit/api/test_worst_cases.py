"""Long inputs that could make a regular expression or a quadratic comparison slow get a response."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from flask.testing import FlaskClient
from werkzeug import http

from gateway.api.json_body import MAX_BODY_BYTES
from gateway.api.request_headers import idempotency_key, prefers_async, request_timeout
from gateway.domain.errors import IdempotencyKeyInvalid
from tests.unit.api.fake_backend import OWNER, FakeBackend, body
from tests.unit.api.problems import assert_problem, field_errors

LIST: Final = "/modules?backend=cmdb&scope=1"
#: Values that almost match a pattern: many permitted characters and a forbidden one at the end.
LONG: Final = {
    "letters": "a" * (MAX_BODY_BYTES - 1) + "!",
    "digits": "1" * (MAX_BODY_BYTES - 1) + "x",
    "quoted": '"' + "a" * (MAX_BODY_BYTES - 1),
    "blanks": "a" + " " * (MAX_BODY_BYTES - 2) + "x",
    "commas": "," * MAX_BODY_BYTES,
    "preferences": "a;b," * (MAX_BODY_BYTES // 4),
    "languages": "zh-" * (MAX_BODY_BYTES // 3),
    "qualities": "a/b;q=0." * (MAX_BODY_BYTES // 8),
}


def refuse_long(parse: Callable[..., Any]) -> Callable[..., Any]:
    def check(value: str | None, *arguments: Any) -> Any:
        assert len(value or "") < 4000, "a long header was parsed"
        return parse(value, *arguments)

    return check


HEADERS: Final = (
    "Accept", "Accept-Language", "Access-Control-Request-Method", "Authorization", "Idempotency-Key", "Origin",
    "Prefer", "X-Api-Key", "X-Request-Id", "X-Request-Timeout-Ms", "traceparent", "tracestate",
    "x-envoy-expected-rq-timeout-ms",
)  # fmt: skip


@pytest.mark.parametrize("value", LONG.values(), ids=LONG.keys())
def test_header(client: FlaskClient, cmdb: FakeBackend, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A request with a header of 64 KiB gets a response; a request id of that length is replaced.

    Werkzeug's parsers take quadratic time for some values, so that they get no long ones.
    """
    for name in ("parse_list_header", "parse_options_header", "parse_accept_header"):
        monkeypatch.setattr(f"werkzeug.http.{name}", refuse_long(getattr(http, name)))
    monkeypatch.setattr("werkzeug.sansio.request.parse_accept_header", refuse_long(http.parse_accept_header))
    for number, name in enumerate(HEADERS, 1):
        document = body(cmdb, name=f"module{number}")
        response = client.post("/modules", json=document, headers={name: value})
        assert response.status_code in {201, 202, 400, 406}, name
        assert response.headers["X-Request-Id"] == f"request-{number}"


@pytest.mark.parametrize("value", LONG.values(), ids=LONG.keys())
def test_header_parsers(value: str) -> None:
    """No long value is accepted as a key, a timeout or a preference."""
    with pytest.raises(IdempotencyKeyInvalid):
        idempotency_key({"HTTP_IDEMPOTENCY_KEY": value})
    assert request_timeout({"HTTP_X_REQUEST_TIMEOUT_MS": value}, 10.0) == 10.0
    assert not prefers_async({"HTTP_PREFER": value})


@pytest.mark.parametrize("value", LONG.values(), ids=LONG.keys())
def test_media_type(client: FlaskClient, value: str) -> None:
    """A Content-Type of 64 KiB is refused."""
    assert_problem(client.post("/modules", data=b"{}", content_type=value), 415, "unsupported_media_type")


@pytest.mark.parametrize("value", LONG.values(), ids=LONG.keys())
@pytest.mark.parametrize("name", ["scope", "parent", "include", "page_size", "page_token"])
def test_query(client: FlaskClient, cmdb: FakeBackend, name: str, value: str) -> None:
    """A parameter of 64 KiB is refused, and nothing is sent."""
    query = {"backend": "cmdb", "scope": "1", name: value}
    problem = assert_problem(client.get("/modules", query_string=query), 422, "validation_failed")
    assert {parameter for parameter, _ in field_errors(problem)} == {f"?{name}"}
    assert len(problem["detail"]) < 400
    assert cmdb.sent == []


def test_many_parameters(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A parameter that is repeated thousands of times is reported with two errors."""
    problem = assert_problem(client.get(f"{LIST}&{'a=1&' * (MAX_BODY_BYTES // 4)}"), 422, "validation_failed")
    assert field_errors(problem) == {("?a", "unknown_field"), ("?a", "repeated")}
    assert cmdb.sent == []


def _members(count: int) -> dict[str, int]:
    return {f"{number:x}": 1 for number in range(count)}


BODIES: Final[dict[str, tuple[dict[str, Any], int]]] = {
    "unknown members": (_members(6_000), 6_000),
    "unsupported attributes": ({"attributes": _members(6_000)}, 6_000),
    "both": ({**_members(2_800), "attributes": {f"x{name}": 1 for name in _members(2_800)}}, 5_600),
    "equal owners": ({"owners": ["a"] * 12_000}, 11_999),
    "ill-typed owners": ({"owners": [0] * 20_000}, 20_000),
    "long name": ({"name": "n" * 60_000}, 1),
    "long scope": ({"scope": "1" * 60_000}, 1),
    "blank name": ({"name": " " * 60_000}, 1),
}


@pytest.mark.parametrize(("changes", "count"), BODIES.values(), ids=BODIES.keys())
def test_body(client: FlaskClient, cmdb: FakeBackend, changes: dict[str, Any], count: int) -> None:
    """A body of almost 64 KiB has all its errors reported, and nothing is sent."""
    data = json.dumps(body(cmdb) | changes, separators=(",", ":"))
    assert 20_000 < len(data) <= MAX_BODY_BYTES
    response = client.post("/modules", data=data, content_type="application/json")
    assert response.status_code == 422
    assert len(response.get_json()["errors"]) >= count
    assert cmdb.sent == []


@pytest.mark.parametrize(
    "text",
    [
        "[" * MAX_BODY_BYTES, '{"a":' * (MAX_BODY_BYTES // 5), '"' + "\\" * (MAX_BODY_BYTES - 1),
        '{"a":1' + "0" * 60_000 + "}",
        '{"a":0.' + "1" * 60_000 + "x}", '{"a":"' + "\\ud800" * 10_000 + '"}', " " * MAX_BODY_BYTES, '{"a":1,' * 9_000,
        "{" + '"a":1,' * 10_000 + '"a":1}',
    ],
    ids=["arrays", "objects", "escapes", "integer", "fraction", "surrogates", "blanks", "open", "duplicates"],
)  # fmt: skip
def test_syntax(client: FlaskClient, cmdb: FakeBackend, text: str) -> None:
    """Malformed JSON of up to 64 KiB is refused."""
    response = client.post("/modules", data=text.encode(), content_type="application/json")
    assert_problem(response, 400, "invalid_json")
    assert cmdb.sent == []


@pytest.mark.parametrize(
    "value", ["a" * MAX_BODY_BYTES, "1." * (MAX_BODY_BYTES // 2), "cmdb." + "1." * 30_000, "." * 60_000]
)
def test_id(client: FlaskClient, cmdb: FakeBackend, value: str) -> None:
    """An id of 64 KiB is 404."""
    assert_problem(client.get(f"/modules/{value}"), 404, "module_not_found")
    assert cmdb.sent == []


def test_unchanged_body(client: FlaskClient, cmdb: FakeBackend) -> None:
    """The body that the tests above change is valid."""
    assert client.post("/modules", json=body(cmdb, owners=[OWNER])).status_code == 201
