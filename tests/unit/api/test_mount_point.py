"""The addresses in answers begin with the path under which callers see the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from flask import Flask

from gateway.api.request_headers import mount_point
from gateway.domain.errors import OutcomeUnknown
from gateway.identity import TrustedProxies
from tests.unit.api.fake_backend import FakeBackend, body

PROXIES: Final = TrustedProxies(("10.0.0.0/8", "2001:db8::/32", "unix"))
PREFIX: Final = "HTTP_X_FORWARDED_PREFIX"


@pytest.mark.parametrize("prefix", ["/gw", "/gw/", "/a/b-c/v1.2", "/a%20b", "/~team/x:y"])
@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", ""])
def test_the_prefix_of_a_trusted_proxy(prefix: str, address: str) -> None:
    """X-Forwarded-Prefix of a trusted connection is the mount point, in place of SCRIPT_NAME."""
    environ = {PREFIX: prefix, "REMOTE_ADDR": address, "SCRIPT_NAME": "/own"}
    assert mount_point(environ, PROXIES) == prefix.rstrip("/")


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "gw",
        "//evil.example",
        "/gw//x",
        "https://evil.example/",
        "/a/../b",
        "/..",
        "/./x",
        "/a\\b",
        "/a b",
        "/a, /b",
        "/a?b",
        "/a#b",
        "/a\x00",
        "/a\r\nX: y",
        "/\u00e9",
        "/" + "a" * 5_000,
        "javascript:alert(1)",
        "/<script>",
    ],
)
def test_a_malformed_prefix(prefix: str) -> None:
    """A prefix that is no plain path is ignored: no scheme, no second slash, no control character."""
    assert mount_point({PREFIX: prefix, "REMOTE_ADDR": "10.1.2.3", "SCRIPT_NAME": "/own/"}, PROXIES) == "/own"


@pytest.mark.parametrize("address", ["192.0.2.1", "::1", "nonsense", "11.0.0.1"])
def test_the_prefix_of_others(address: str) -> None:
    """A prefix from any other client is ignored; so is each without trusted proxies."""
    assert mount_point({PREFIX: "/gw", "REMOTE_ADDR": address}, PROXIES) == ""
    assert mount_point({PREFIX: "/gw", "REMOTE_ADDR": "10.1.2.3"}, TrustedProxies(())) == ""


@pytest.mark.parametrize(
    ("environ", "expected"), [({"SCRIPT_NAME": "/gw"}, "/gw"), ({PREFIX: "/out", "REMOTE_ADDR": "10.1.2.3"}, "/out")]
)
def test_every_address(build: Callable[..., Flask], cmdb: FakeBackend, environ: dict[str, str], expected: str) -> None:
    """Location, type, instance and the servers of the OpenAPI document have the mount point."""
    client = build({"cmdb": cmdb}, trusted_proxies=PROXIES).test_client()

    def send(method: str, path: str, **arguments: Any) -> Any:
        return client.open(path, method=method, environ_overrides=environ, **arguments)

    assert send("POST", "/modules", json=body(cmdb)).headers["Location"] == f"{expected}/modules/cmdb.1.10.1"
    prefer = {"Prefer": "respond-async"}
    accepted = send("POST", "/modules", json=body(cmdb, name="b"), headers=prefer)
    assert accepted.headers["Location"].startswith(f"{expected}/operations/")
    cmdb.fails["create"] = OutcomeUnknown()
    unknown = send("POST", "/modules", json=body(cmdb, name="c"))
    assert unknown.headers["Retry-After"] == "1"
    problem = unknown.get_json()
    assert problem["type"] == f"{expected}/errors#outcome_unknown"
    assert problem["instance"].startswith(f"{expected}/operations/")
    assert send("GET", "/openapi.json").get_json()["servers"] == [{"url": expected}]


def test_without_a_mount_point(app: Flask) -> None:
    """By default the OpenAPI document names the root."""
    assert app.test_client().get("/openapi.json").get_json()["servers"] == [{"url": "/"}]
