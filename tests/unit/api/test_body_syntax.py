"""A body must be one unambiguous JSON object of at most 64 KiB in UTF-8; others are refused, and nothing is sent."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.api.fake_backend import FakeBackend, body
from tests.unit.api.problems import assert_problem

VALID = b'{"backend": "cmdb", "scope": "1", "parent": "10", "name": "demo"}'
KIB_64 = 64 * 1024


def _with(name: bytes) -> bytes:
    return VALID.replace(b'"demo"', name)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"name=demo", id="no-json"),
        pytest.param(VALID + b"{}", id="two-documents"),
        pytest.param(b"[" + VALID + b"]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="text"),
        pytest.param(VALID[:-1] + b', "name": "other"}', id="duplicate-key"),
        pytest.param(VALID[:-1] + b', "attributes": {"a": 1, "a": 1}}', id="duplicate-inner-key"),
        pytest.param(VALID[:-1] + rb', "n\u0061me": "other"}', id="duplicate-escaped-key"),
        pytest.param(_with(b"NaN"), id="nan"),
        pytest.param(_with(b"-Infinity"), id="infinity"),
        pytest.param(_with(b"1e999"), id="overflow"),
        pytest.param(_with(b"9" * 5000), id="endless-integer"),
        pytest.param(_with(b"[" * 10_000 + b"]" * 10_000), id="deep"),
        pytest.param(b"[" * 60_000, id="deeper"),
        pytest.param(_with(b"[" * 16 + b"]" * 16), id="one-level-too-deep"),
        pytest.param(_with(rb'"\ud800"'), id="lone-surrogate-escaped"),
        pytest.param(VALID[:-1] + rb', "\udc00": 1}', id="lone-surrogate-in-a-key"),
        pytest.param(_with(b'"\xed\xa0\x80"'), id="lone-surrogate-raw"),
        pytest.param(_with(b'"\xff"'), id="no-utf-8"),
        pytest.param(_with(b'"\xc0\xaf"'), id="overlong-utf-8"),
        pytest.param(b"\xef\xbb\xbf" + VALID, id="bom"),
        pytest.param(VALID.decode().encode("utf-16"), id="utf-16"),
        pytest.param(VALID.decode().encode("utf-16-le"), id="utf-16-without-bom"),
        pytest.param(_with(b'"a\nb"'), id="raw-line-feed"),
        pytest.param(b"\x00" + VALID, id="nul"),
    ],
)
def test_malformed(client: FlaskClient, cmdb: FakeBackend, data: bytes) -> None:
    """A body that two JSON parsers could read differently is 400 invalid_json, in a create and in a patch."""
    assert_problem(client.post("/modules", data=data, content_type="application/json"), 400, "invalid_json")
    assert_problem(
        client.patch("/modules/cmdb.1.10.1", data=data, content_type="application/json"), 400, "invalid_json"
    )
    assert cmdb.sent == []


def test_maximum_depth(client: FlaskClient, cmdb: FakeBackend) -> None:
    """Sixteen levels are accepted by the parser (and refused here for their type)."""
    response = client.post("/modules", data=_with(b"[" * 15 + b"]" * 15), content_type="application/json")
    assert_problem(response, 422, "validation_failed")
    assert cmdb.sent == []


def test_body_not_repeated(client: FlaskClient) -> None:
    """A syntax error is located by line and column, and the body is not repeated."""
    problem = assert_problem(
        client.post("/modules", data=b'{"password":\n hunter2}', content_type="application/json"), 400, "invalid_json"
    )
    assert "line 2, column 2" in problem["detail"]
    assert "hunter2" not in json.dumps(problem)


LARGE, TYPE, NOT_ACCEPTABLE = (413, "payload_too_large"), (415, "unsupported_media_type"), (406, "not_acceptable")
AS_JSON = {"content_type": "application/json"}
CHUNKED = {"headers": {"Transfer-Encoding": "chunked"}, "environ_overrides": {"wsgi.input_terminated": True}}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"data": b" " * 10_000_000, **AS_JSON}, LARGE, id="10-megabytes"),
        pytest.param({"data": b" " * (KIB_64 + 1), **AS_JSON}, LARGE, id="a-byte-too-long"),
        pytest.param({"input_stream": VALID.ljust(KIB_64 + 1), **CHUNKED, **AS_JSON}, LARGE, id="no-length"),
        pytest.param(
            {"input_stream": VALID.ljust(KIB_64) + b"x" * KIB_64, **CHUNKED, **AS_JSON}, LARGE, id="hidden-end"
        ),
        pytest.param({"data": VALID}, TYPE, id="no-type"),
        pytest.param({"data": VALID, "content_type": "text/plain"}, TYPE, id="text"),
        pytest.param({"data": VALID, "content_type": "application/x-www-form-urlencoded"}, TYPE, id="form"),
        pytest.param({"data": VALID, "content_type": "application/json; charset=utf-16"}, TYPE, id="charset"),
        pytest.param({"data": VALID, "content_type": "application/jsonp"}, TYPE, id="near-miss"),
        pytest.param(
            {"data": gzip.compress(VALID), **AS_JSON, "headers": {"Content-Encoding": "gzip"}}, TYPE, id="gzip"
        ),
        pytest.param({"data": VALID, **AS_JSON, "headers": {"Accept": "text/html"}}, NOT_ACCEPTABLE, id="accept-html"),
        pytest.param(
            {"data": VALID, **AS_JSON, "headers": {"Accept": "application/json;q=0"}},
            NOT_ACCEPTABLE,
            id="json-excluded",
        ),
        *(
            pytest.param({"data": VALID, **AS_JSON, "headers": {"Accept": accept}}, NOT_ACCEPTABLE, id=accept)
            for accept in ("text/*", "*/*;q=0", "*;q=0.0", "application/*;q=0, text/html", "application/xml;q=.2")
        ),
    ],
)
@pytest.mark.parametrize("target", ["POST /modules", "PATCH /modules/cmdb.1.10.1"])
def test_headers_refused(
    client: FlaskClient, cmdb: FakeBackend, target: str, arguments: dict[str, Any], expected: tuple[int, str]
) -> None:
    """A body that is too large, not declared as JSON or encoded, and an Accept without JSON, have their own codes."""
    method, path = target.split()
    stream = {"input_stream": io.BytesIO(arguments["input_stream"])} if "input_stream" in arguments else {}
    assert_problem(client.open(path, method=method, **{**arguments, **stream}), *expected)
    assert cmdb.sent == []


def test_merge_patch_create(client: FlaskClient, cmdb: FakeBackend) -> None:
    """application/merge-patch+json is 415 for a create."""
    response = client.post("/modules", data=VALID, content_type="application/merge-patch+json")
    assert_problem(response, 415, "unsupported_media_type")
    assert cmdb.sent == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=UTF-8",
        'Application/JSON;charset="utf-8"',
        "application/json; charset=utf8",
        "application/json;charset=UTF8",
        "application/json; charset=utf_8",
        "application/json; charset=us-ascii",
        "application/json;",
        "application/json; odata=verbose; Charset='utf-8'",
    ],
)
@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "*",
        "application/*",
        "application/json",
        "Application/JSON; charset=utf8",
        "application/problem+json",
        "text/html, */*;q=0.1",
        "text/html, image/gif, image/jpeg, *; q=.2",
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
        "text/html;q=0.9, *;q=.2",
        "",
        " , ",
        "application/*+json",
        "application/json;q=high, text/html",
        'application/json;profile="a, b;q=0"; Q = 0.5',
        "application/json;charset=utf-8, text/html;q=0",
        "application/json;q=0, */*;q=0.1",
        "*/*;q=0, application/json",
        "application/json;q=2",
        ", ".join(["text/html"] * 500 + ["*/*"]),
    ],
)
def test_headers_accepted(client: FlaskClient, cmdb: FakeBackend, content_type: str, accept: str | None) -> None:
    """Content-Type and Accept are compared by meaning: case, parameters, aliases, wildcards and malformed qualities."""
    headers = {"Content-Encoding": "Identity"} if accept is None else {"Accept": accept}
    assert client.post("/modules", data=VALID, content_type=content_type, headers=headers).status_code == 201
    assert len(cmdb.writes) == 1


def test_largest_body(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A body of exactly 64 KiB is accepted, and so is a surrogate pair."""
    data = json.dumps(body(cmdb, name="\U0001f600")).encode()
    assert b"\\ud83d\\ude00" in data
    response = client.post("/modules", data=data.ljust(KIB_64), content_type="application/json")
    assert (response.status_code, response.get_json()["name"]) == (201, "\U0001f600")


def test_truncated_body(client: FlaskClient, cmdb: FakeBackend) -> None:
    """A body that is shorter than its Content-Length is refused, even if it is valid JSON."""
    environ = {"CONTENT_LENGTH": str(len(VALID) + 1)}
    response = client.post("/modules", data=VALID, content_type="application/json", environ_overrides=environ)
    assert_problem(response, 400, "invalid_json")
    assert cmdb.sent == []
