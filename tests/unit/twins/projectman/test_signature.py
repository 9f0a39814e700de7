"""SDK-HMAC-SHA256 signatures: canonical request, validity and time (section 3b)."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.twins.projectman.signature import (
    SignatureHeader,
    SignedRequest,
    canonical_request,
    is_signature_valid,
    parse_authorization,
)
from gateway.twins.projectman.signature import sign as sign_request
from tests.unit.twins.projectman.api import CREATE, MODULES, assert_unauthenticated

BODY = b'{"module_name": "demo", "owner": {"user_id": "09d75cde5180d4481f91c018e89cb8e2"}}'
# the test vector of section 3b
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
Advance = Callable[[float], None]


def sign_headers(headers: dict[str, str], *names: str) -> dict[str, str]:
    """Return the headers of a GET with a signature that the vendor's client would not make."""
    digest = sign_request(SignedRequest("GET", MODULES, "", headers, b""), names, "SKTEST")
    claim = f"SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={';'.join(names)}, Signature={digest}"
    return {**headers, "Authorization": claim}


def test_the_documented_vector() -> None:
    """Section 3b: the signature of the vendor's client for this request."""
    assert sign_request(VECTOR, VECTOR_NAMES, "SKTEST") == VECTOR_SIGNATURE
    names = ";".join(VECTOR_NAMES)
    authorization = f"SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders={names}, Signature={VECTOR_SIGNATURE}"
    header = parse_authorization(authorization)
    assert header is not None
    assert (header.access_key, header.signed_headers, header.signature) == ("AKTEST", VECTOR_NAMES, VECTOR_SIGNATURE)
    assert is_signature_valid(VECTOR, header, "SKTEST")
    assert not is_signature_valid(VECTOR, header, "SKTESS")


def test_the_canonical_path_and_query() -> None:
    """Section 3b, steps 2 and 3: the canonical path ends with a slash; pairs are sorted and quoted."""
    request = SignedRequest("GET", "/v4/a%20b~%E6%A8%A1", "b=x%20y&a=%E6%A8%A1&b=1&c", {}, b"")
    lines = canonical_request(request, ()).split("\n")
    assert lines[:3] == ["GET", "/v4/a%20b~%E6%A8%A1/", "a=%E6%A8%A1&b=1&b=x%20y&c="]


def test_a_valid_signature(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 3b: of a request with a query, and of one with a body."""
    query = (("limit", "10"), ("offset", "0"))
    page = anonymous.get(MODULES, query_string=dict(query), headers=sign(MODULES, query=query))
    assert page.get_json()["total"] == 1
    created = anonymous.post(CREATE, data=BODY, headers=sign(CREATE, method="POST", body=BODY))
    assert created.get_json()["module_id"] == 46691


def test_additional_signed_headers(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 3b: the list in the request counts; the vendor's client signs its user agent."""
    headers = sign(MODULES, user_agent="模 agent/1", x_project_id="a" * 32)
    assert anonymous.get(MODULES, headers=headers).status_code == 200
    headers["X-Project-Id"] = "b" * 32
    assert_unauthenticated(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


@pytest.mark.parametrize(
    ("changes", "body"),
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
def test_the_signature_of_another_request(
    anonymous: FlaskClient, sign: Sign, changes: dict[str, Any], body: bytes
) -> None:
    """Items 17 and 19: 401 APIGW.0301, and no module is created."""
    headers = sign(**{"path": CREATE, "method": "POST", "body": BODY, **changes}) | {"Host": "localhost"}
    assert_unauthenticated(anonymous.post(CREATE, data=body, headers=headers), "verify aksk signature fail")
    assert anonymous.get("/twin/ledger").get_json()["writes"] == []


def test_the_signed_host_includes_the_port(anonymous: FlaskClient, sign: Sign) -> None:
    """Item 19: a signature over the host without the port is invalid if the request has one."""
    headers = sign(MODULES, host="127.0.0.1")
    headers["Host"] = "127.0.0.1:8080"
    assert_unauthenticated(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")
    assert anonymous.get(MODULES, headers=sign(MODULES, host="127.0.0.1:8080")).status_code == 200


@pytest.mark.parametrize(("minutes", "status"), [(14, 200), (15, 200), (16, 401), (-14, 200), (-16, 401)])
def test_a_date_can_be_15_minutes_off(
    anonymous: FlaskClient, sign: Sign, advance: Advance, minutes: int, status: int
) -> None:
    """Item 18, in both directions."""
    headers = sign(MODULES)
    advance(60 * minutes)
    assert anonymous.get(MODULES, headers=headers).status_code == status


@pytest.mark.parametrize("date", ["", "2025-01-02T03:04:05Z", "20250102T030405"])
def test_an_invalid_date(anonymous: FlaskClient, date: str) -> None:
    """Section 3b, step 1: UTC, `%Y%m%dT%H%M%SZ`."""
    headers = sign_headers({"host": "localhost", "x-sdk-date": date}, "host", "x-sdk-date")
    assert_unauthenticated(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


@pytest.mark.parametrize("unsigned", ["host;", ";x-sdk-date"])
def test_host_and_date_must_be_signed(anonymous: FlaskClient, sign: Sign, unsigned: str) -> None:
    """Section 8: a signature that is valid except that it leaves one of them out."""
    date = sign(MODULES)["X-Sdk-Date"]
    headers = sign_headers({"host": "localhost", "x-sdk-date": date}, "host;x-sdk-date".replace(unsigned, ""))
    assert_unauthenticated(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


@pytest.mark.parametrize("fields", ["", " Access=AKTEST, SignedHeaders=host, Signature=x"])
def test_a_malformed_header(anonymous: FlaskClient, fields: str) -> None:
    """Section 3b, step 7: the form of the header."""
    response = anonymous.get(MODULES, headers={"Authorization": f"SDK-HMAC-SHA256{fields}"})
    assert_unauthenticated(response, "verify aksk signature fail")


def test_a_signed_header_must_be_present(anonymous: FlaskClient, sign: Sign) -> None:
    """Section 8: a signature over a header that the request does not have is invalid."""
    headers = sign(MODULES, x_project_id="a" * 32)
    del headers["X-Project-Id"]
    assert_unauthenticated(anonymous.get(MODULES, headers=headers), "verify aksk signature fail")


@pytest.mark.parametrize(
    ("content_type", "declared", "expected"),
    [
        ("application/json", "UNSIGNED-PAYLOAD", False),
        ("text/plain", "UNSIGNED-PAYLOAD", True),
        ("application/json", "0" * 64, False),
        ("application/json", "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862", True),
    ],
)
def test_a_declared_body_hash(content_type: str, declared: str, *, expected: bool) -> None:
    """Section 3b, step 5: it must be that of the body; only a body that is not JSON can be unsigned."""
    headers = {
        "content-type": content_type,
        "host": "h",
        "x-sdk-date": "20250102T030405Z",
        "x-sdk-content-sha256": declared,
    }
    request = SignedRequest("POST", CREATE, "", headers, b'{"a":1}')
    names = ("content-type", "host", "x-sdk-content-sha256", "x-sdk-date")
    header = SignatureHeader("AKTEST", names, sign_request(request, names, "SKTEST"))
    assert is_signature_valid(request, header, "SKTEST") is expected
