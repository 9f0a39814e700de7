"""The signature, built from cached parts, equals the one built by the documented steps."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.backends.projectman import signature
from gateway.backends.projectman.auth import AkSkAuth
from gateway.backends.projectman.signature import authorization_header
from gateway.domain.backend import CallContext
from gateway.settings import Secret
from tests.conftest import VirtualClock
from tests.unit.backends.connections import PROJECT, access_key

_KEY: Final = ("AKTEST", "SKTEST")
_SEGMENTS: Final = [
    "",
    "a",
    "Z9",
    "%",
    "%2F",
    "%7E",
    "%7e",
    "%zz",
    "%E6%A8",
    "+",
    " ",
    "~",
    "-",
    "_",
    ".",
    "..",
    "模块",
    "é",
]
_PATHS: Final = st.lists(st.sampled_from([*_SEGMENTS, "/", ":", "@", "=", "&", "*", "\t"]), max_size=8).map("".join)
_WORDS: Final = st.lists(st.sampled_from([*_SEGMENTS, "/", ";", "?", "\n"]), max_size=3).map("".join)
_PAIRS: Final = st.tuples(_WORDS, st.sampled_from(["=", "", "=="]), _WORDS).map("".join)
_QUERIES: Final = st.lists(_PAIRS | st.sampled_from(["a=1", "a=2", "a-b=1", "limit=100"]), max_size=4).map("&".join)
_ENDS: Final = st.sampled_from(["", "", "#", "#a?b=c"])
_HEADERS: Final = st.dictionaries(
    st.sampled_from(["Host", "Content-Type", "X-Project-Id", "X-Security-Token", "a", "Z"]),
    st.sampled_from(["", "a", " b ", "c: d", "\te"]),
)


def _step_by_step(method: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
    """documented: projectman.md §3b, steps 2 to 7."""
    parts = urlsplit(url)
    path = "/".join(quote(segment, safe="~") for segment in unquote(parts.path).split("/"))
    path = path if path.endswith("/") else f"{path}/"
    pairs = sorted(parse_qsl(parts.query, keep_blank_values=True))
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
    lines = sorted((name.lower(), value.strip()) for name, value in headers.items())
    names = ";".join(name for name, _ in lines)
    header_lines = "".join(f"{name}:{value}\n" for name, value in lines)
    canonical = "\n".join([method, path, query, header_lines, names, hashlib.sha256(body).hexdigest()])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"SDK-HMAC-SHA256\n{dict(lines)['x-sdk-date']}\n{digest}"
    signature_header = hmac.new(_KEY[1].encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"SDK-HMAC-SHA256 Access={_KEY[0]}, SignedHeaders={names}, Signature={signature_header}"


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=_PATHS,
    query=st.none() | _QUERIES,
    end=_ENDS,
    headers=_HEADERS,
    body=st.sampled_from([b"", b"{}", "模块".encode()]),
)
@example("GET", f"v4/projects/{PROJECT}/modules", "limit=100&offset=0", "", {}, b"")
@example("GET", "a", "a=1&a-b=1&a1=1&a=0&a=", "", {}, b"")
def test_every_request_is_signed_as_documented(
    method: str, path: str, query: str | None, end: str, headers: dict[str, str], body: bytes
) -> None:
    """Quoted and unquoted, empty and repeated, in any order; with and without cached parts."""
    url = f"https://host.example.com/{path}{'' if query is None else f'?{query}'}{end}"
    signed = {**headers, "X-Sdk-Date": " 20270115T080000Z"}
    expected = _step_by_step(method, url, signed, body)
    assert authorization_header(method, url, signed, body, key=_KEY) == expected
    assert authorization_header(method, url, signed, body, key=_KEY) == expected


def test_a_request_without_a_date_is_not_signed() -> None:
    """The date is required."""
    with pytest.raises(KeyError, match="x-sdk-date"):
        authorization_header("GET", "http://h/", {"Host": "h"}, b"", key=_KEY)


def test_the_caches_are_bounded() -> None:
    """Any number of ids fills a bounded cache, and does not replace the cached queries."""
    headers = {"X-Sdk-Date": "20270115T080000Z"}
    authorization_header("GET", "http://h/modules?limit=100&offset=0", headers, b"", key=_KEY)
    misses = signature._canonical_query.cache_info().misses
    for number in range(signature._MAX_PATHS + 10):
        authorization_header("PUT", f"http://h/modules/{number}?limit=100&offset=0", headers, b"", key=_KEY)
    assert signature._canonical_path.cache_info().currsize == signature._MAX_PATHS
    assert signature._canonical_query.cache_info().misses == misses
    assert signature._canonical_query.cache_info().maxsize is not None


@pytest.mark.parametrize(("token", "project"), [(None, ""), ("sts-token", "a" * 32)])
def test_the_date_follows_the_clock(token: str | None, project: str, clock: VirtualClock, call: CallContext) -> None:
    """The date changes with every second, and is signed."""
    identity = access_key(security_token=None if token is None else Secret(token), iam_project_id=project)
    signed = AkSkAuth(identity, "h", clock)
    for tick in (0.0, 0.75, 0.25, 86_400.5):
        clock.seconds += tick
        headers = dict(signed.run(lambda authorize: authorize("GET", "http://h/a", b""), call))
        signature_header = headers.pop("Authorization")
        assert headers["X-Sdk-Date"] == datetime.fromtimestamp(int(clock.now()), UTC).strftime("%Y%m%dT%H%M%SZ")
        assert headers.get("X-Security-Token") == token
        assert headers.get("X-Project-Id", "") == project
        key = (identity.access_key.value, identity.secret_key.value)
        assert signature_header == authorization_header("GET", "http://h/a", headers, b"", key=key)
