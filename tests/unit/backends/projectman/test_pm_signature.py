"""SDK-HMAC-SHA256 compared with the vendor's test vector, and the parts of a request that are signed."""

from __future__ import annotations

import pytest
import responses

from gateway.backends.projectman import create_backend
from gateway.backends.projectman.signature import authorization_header
from gateway.domain.backend import CallContext
from gateway.settings import Secret
from tests.conftest import VirtualClock
from tests.unit.backends.connections import OWNER, PROJECT, access_key, list_response, projectman_options
from tests.unit.backends.exchanges import Exchange
from tests.unit.backends.projectman.service_stub import BASE, DRAFT

_URL = f"{BASE}/v4/projects/{PROJECT}"
_DATE = "20270115T080000Z"  # where the virtual clock stands


def test_the_documented_test_vector() -> None:
    """recorded: projectman.md §3b, test vector, made by the vendor's SDK."""
    headers = {
        "Content-Type": "application/json",
        "Host": "127.0.0.1:8080",
        "X-Project-Id": "a" * 32,
        "X-Sdk-Date": "20250102T030405Z",
    }
    url = f"http://127.0.0.1:8080/v4/projects/{PROJECT}/modules?offset=0&limit=10"
    assert authorization_header("GET", url, headers, b"", key=("AKTEST", "SKTEST")) == (
        "SDK-HMAC-SHA256 Access=AKTEST, SignedHeaders=content-type;host;x-project-id;x-sdk-date, "
        "Signature=6513290bf37c16f3cd41d126c9bed0187f6a21afe90ef95d6e717d3f581df648"
    )


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("http://h/a?b=1&c=2", "http://h/a?c=2&b=1", True),
        ("http://h/a", "http://h/a/", True),
        ("http://h/a%20b", "http://h/a b", True),
        ("http://h/a~b", "http://h/a%7Eb", True),
        ("http://h/a?b=", "http://h/a?b", True),
        ("http://h/a?b=x%20y", "http://h/a?b=x+y", True),
        ("http://h/a?b=1", "http://h/a?b=2", False),
        ("http://h/a", "http://h/b", False),
    ],
)
def test_equal_requests_have_equal_signatures(one: str, other: str, equal: bool) -> None:
    """documented: projectman.md §3b, steps 2 and 3: path and query have one canonical form."""
    headers = {"X-Sdk-Date": _DATE}
    first, second = (authorization_header("GET", url, headers, b"", key=("AK", "SK")) for url in (one, other))
    assert (first == second) is equal


def test_every_part_of_a_request_is_signed() -> None:
    """Method, body, header, date and key each change the signature."""
    headers = {"X-Sdk-Date": _DATE, "X-Project-Id": "a"}
    signatures = {
        authorization_header("GET", "http://h/", headers, b"", key=("AK", "SK")),
        authorization_header("PUT", "http://h/", headers, b"", key=("AK", "SK")),
        authorization_header("GET", "http://h/", headers, b"{}", key=("AK", "SK")),
        authorization_header("GET", "http://h/", {**headers, "X-Project-Id": "b"}, b"", key=("AK", "SK")),
        authorization_header("GET", "http://h/", {**headers, "X-Sdk-Date": "20270115T080001Z"}, b"", key=("AK", "SK")),
        authorization_header("GET", "http://h/", headers, b"", key=("AK", "KS")),
    }
    assert len({signature.rpartition("=")[2] for signature in signatures}) == 6


def test_a_plain_key_signs_host_date_and_type(
    wire: responses.RequestsMock, clock: VirtualClock, call: CallContext
) -> None:
    """The signed headers are sent; the request id is added unsigned."""
    signed = {
        "Content-Type": "application/json",
        "Host": "projectman-ext.example.com",
        "X-Sdk-Date": _DATE,
    }
    body = f'{{"module_name":"demo","owner":{{"user_id":"{OWNER}"}}}}'.encode()
    header = authorization_header("POST", f"{_URL}/module", signed, body, key=("AKTEST", "SKTEST"))
    assert "SignedHeaders=content-type;host;x-sdk-date," in header
    Exchange(
        method="POST",
        url=f"{_URL}/module",
        headers={**signed, "Authorization": header, "X-Request-Id": "test-request"},
        body={"module_name": "demo", "owner": {"user_id": OWNER}},
        response={"module_id": 1, "module_name": "demo", "owner": {"user_id": OWNER}},
    ).register(wire)
    assert create_backend("projectman", projectman_options(BASE), clock).create(DRAFT, call).native_id == "1"


def test_project_and_security_token_are_signed_too(
    wire: responses.RequestsMock, clock: VirtualClock, call: CallContext
) -> None:
    """documented: projectman.md §3b: X-Project-Id and, for temporary keys, X-Security-Token are signed too."""
    signed = {
        "Content-Type": "application/json",
        "Host": "projectman-ext.example.com",
        "X-Sdk-Date": _DATE,
        "X-Project-Id": "a" * 32,
        "X-Security-Token": "sts-token",
    }
    url = f"{_URL}/modules?limit=100&offset=0"
    header = authorization_header("GET", url, signed, b"", key=("AKTEST", "SKTEST"))
    assert "SignedHeaders=content-type;host;x-project-id;x-sdk-date;x-security-token," in header
    Exchange(
        method="GET",
        url=url,
        headers={**signed, "Authorization": header, "X-Request-Id": "test-request"},
        response=list_response(),
    ).register(wire)
    identity = access_key(security_token=Secret("sts-token"), iam_project_id="a" * 32)
    backend = create_backend("projectman", projectman_options(BASE, auth=identity), clock)
    assert backend.find_by_natural_key(DRAFT, call) == ()
