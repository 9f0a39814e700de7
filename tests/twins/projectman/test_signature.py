"""The signature SDK-HMAC-SHA256: what is genuine, what is in time, and when a key is locked (section 3b)."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.twins.projectman.signature import Claim, SignedRequest, canonical_request, is_genuine, read_claim
from gateway.twins.projectman.signature import sign as signature_of

DEMO = "0792b7d26cb74bd799cbae80063dc74a"
MODULES = f"/v4/projects/{DEMO}/modules"
CREATE = f"/v4/projects/{DEMO}/module"
BODY = b'{"module_name": "demo", "owner": {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}}'
# documented: the test vector of section 3b
VECTOR = SignedRequest(
    method="GET",
    path=MODULES,
    query="offset=0&limit=10",
    headers={
        "content-type": "application/json",
        "host": "127.0.0.1:8080",
        "x-project-id": "a" * 32,
        "x-sdk-date": "20250102T030405Z",
    },
    body=b"",
)
VECTOR_NAMES = ("content-type", "host", "x-project-id", "x-sdk-date")
VECTOR_SIGNATURE = "6513290bf37c16f3cd41d126c9bed0187f6a21afe90ef95d6e717d3f581df648"

Sign = Callable[..., dict[str, str]]
Move = Callable[[float], None]


def test_the_documented_vector() -> None:
    """Section 3b: the signature the vendor's client makes of this request."""
    assert signature_of(VECTOR, VECTOR_NAMES, "SKTEST") == VECTOR_SIGNATURE
    claim = f"SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={';'.join(VECTOR_NAMES)}, Signature={VECTOR_SIGNATURE}"
    read = read_claim(claim)
    assert read is not None
    assert (read.access_key, read.signed_headers, read.signature) == ("AKTEST", VECTOR_NAMES, VECTOR_SIGNATURE)
    assert is_genuine(VECTOR, read, "SKTEST")
    assert not is_genuine(VECTOR, read, "SKTESS")


def test_the_canonical_path_is_quoted_and_closed() -> None:
    """Section 3b, steps 2 and 3: a slash is added for the signature alone; pairs are sorted and quoted anew."""
    request = SignedRequest("GET", "/v4/a%20b~%E6%A8%A1", "b=x%20y&a=%E6%A8%A1&b=1&c", {}, b"")
    lines = canonical_request(request, ()).split("\n")
    assert lines[:3] == ["GET", "/v4/a%20b~%E6%A8%A1/", "a=%E6%A8%A1&b=1&b=x%20y&c="]


def test_a_signed_request_is_let_in(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 3b: queries and bodies are covered; a body sent as signed is read as sent."""
    query = (("limit", "10"), ("offset", "0"))
    listed = anonymous.get(MODULES, query_string=dict(query), headers=sign(MODULES, query=query))
    assert listed.get_json()["total"] == 1
    created = anonymous.post(CREATE, data=BODY, headers=sign(CREATE, method="POST", body=BODY))
    assert created.get_json()["module_id"] == 46691


def test_further_headers_may_be_signed(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 3b: the verifier goes by the request's own list, in which the vendor's client has its user agent."""
    headers = sign(MODULES, user_agent="模 agent/1", x_project_id="a" * 32)
    headers["User-Agent"] = headers["User-Agent"].encode().decode("latin-1")
    assert anonymous.get(MODULES, headers=headers).status_code == 200
    headers["X-Project-Id"] = "b" * 32
    assert_refused(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"secret": "SKTESS"}, BODY),
        ({}, BODY + b" "),
        ({"host": "example.com"}, BODY),
        ({"method": "PUT"}, BODY),
        ({"path": MODULES}, BODY),
        ({"query": (("limit", "10"),)}, BODY),
    ],
    ids=["wrong secret (17)", "body altered (19)", "other host (19)", "other method", "other path", "other query"],
)
def test_a_signature_of_something_else_is_refused(
    anonymous: FlaskClient, sign: Sign, changes: dict[str, Any], sent: bytes
) -> None:
    """Items 17 and 19: 401 APIGW.0301, and nothing was created."""
    headers = sign(**{"path": CREATE, "method": "POST", "body": BODY, **changes}) | {"Host": "localhost"}
    assert_refused(anonymous.post(CREATE, data=sent, headers=headers), "verify aksk signature fail")
    assert anonymous.get("/twin/ledger").get_json()["writes"] == []


def test_the_port_belongs_to_the_host(anonymous: FlaskClient, sign: Sign) -> None:
    """Item 19: a signature made with a port-less host is no good where the request names the port."""
    headers = sign(MODULES, host="127.0.0.1")
    headers["Host"] = "127.0.0.1:8080"
    assert_refused(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")
    assert anonymous.get(MODULES, headers=sign(MODULES, host="127.0.0.1:8080")).status_code == 200


@pytest.mark.parametrize(("minutes", "status"), [(14, 200), (15, 200), (16, 401), (-14, 200), (-16, 401)])
def test_a_date_may_be_15_minutes_off(
    anonymous: FlaskClient, sign: Sign, move: Move, minutes: int, status: int
) -> None:
    """Item 18, in both directions."""
    headers = sign(MODULES)
    move(60 * minutes)
    assert anonymous.get(MODULES, headers=headers).status_code == status


@pytest.mark.parametrize("date", ["", "2025-01-02T03:04:05Z", "20250102T030405"])
def test_a_date_must_be_one(anonymous: FlaskClient, sign: Sign, date: str) -> None:
    """Section 3b, step 1: UTC, `%Y%m%dT%H%M%SZ`."""
    headers = sign(MODULES, x_sdk_date=date)
    assert_refused(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


@pytest.mark.parametrize("dropped", ["host;", ";x-sdk-date"])
def test_host_and_date_must_be_signed(anonymous: FlaskClient, sign: Sign, dropped: str) -> None:
    """Section 8: an otherwise genuine signature that leaves one of them out."""
    names = ("host;x-sdk-date".replace(dropped, ""),)
    headers = sign(MODULES)
    request = SignedRequest("GET", MODULES, "", {key.lower(): value for key, value in headers.items()}, b"")
    digest = signature_of(request, names, "SKTEST")
    headers["Authorization"] = f"SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={';'.join(names)}, Signature={digest}"
    assert_refused(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


@pytest.mark.parametrize("claim", ["SDK-HMAC-SHA256", "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders=host, Signature=x"])
def test_a_malformed_claim_is_refused(anonymous: FlaskClient, claim: str) -> None:
    """Section 3b, step 7: the form of the header."""
    assert_refused(anonymous.get(MODULES, headers={"Authorization": claim}), "verify aksk signature fail")


def test_a_signed_header_must_be_there(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 8: rebuilt with exactly the headers that were signed; one that got lost on the way breaks it."""
    headers = sign(MODULES, x_project_id="a" * 32)
    del headers["X-Project-Id"]
    assert_refused(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


@pytest.mark.parametrize(
    ("content_type", "declared", "verdict"),
    [
        ("application/json", "UNSIGNED-PAYLOAD", False),
        ("text/plain", "UNSIGNED-PAYLOAD", True),
        ("application/json", "0" * 64, False),
        ("application/json", "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862", True),
    ],
)
def test_a_declared_body_hash_must_be_the_bodys(content_type: str, declared: str, *, verdict: bool) -> None:
    """Section 3b, step 5: the declared value is what is signed, and only JSON bodies must be covered by it."""
    headers = {
        "content-type": content_type,
        "host": "h",
        "x-sdk-date": "20250102T030405Z",
        "x-sdk-content-sha256": declared,
    }
    request = SignedRequest("POST", CREATE, "", headers, b'{"a":1}')
    names = ("content-type", "host", "x-sdk-content-sha256", "x-sdk-date")
    claim = Claim("AKTEST", names, signature_of(request, names, "SKTEST"))
    assert is_genuine(request, claim, "SKTEST") is verdict


def assert_refused(reply: Any, message: str) -> None:
    assert reply.status_code == 401
    assert reply.get_json() == {
        "error_code": "APIGW.0301",
        "error_msg": message,
        "request_id": reply.headers["X-Request-Id"],
    }
