from __future__ import annotations

from typing import Final

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.envoy.mesh import Mesh
from tests.integration.envoy.sidecars import HEADERS_KIB
from tests.integration.http_client import send

pytestmark = pytest.mark.loopback

KIB: Final = 1024
#: Bytes: more than gunicorn's limit for one header, and more than Envoy's limit for all.
TOO_LONG: Final = (65 * KIB, HEADERS_KIB * KIB + 1)
REFUSED: Final = {400, 413, 414, 431}


@pytest.mark.parametrize("name", ["Authorization", "X-Auth-Token"])
def test_token_of_32_kib(mesh: Mesh, name: str) -> None:
    """The longest tokens that Huawei's IAM issues pass both sidecars and gunicorn."""
    token = "Bearer " + "t" * 32 * KIB
    spec = CreateSpec("cmdb", f"long-{name.lower()}")
    response = spec.send(mesh.address(), {name: token})
    assert response.status == 201
    assert mesh.testbed.created_count("cmdb", spec.name) == 1


@pytest.mark.parametrize("length", TOO_LONG)
def test_header_that_is_too_long(mesh: Mesh, length: int) -> None:
    """A header too long for gunicorn or Envoy gets a 4xx, and nothing is sent to the backend."""
    spec = CreateSpec("cmdb", f"too-long-{length}")
    response = spec.send(mesh.address(), {"X-Auth-Token": "t" * length})
    assert response.status in REFUSED
    assert mesh.testbed.sent("cmdb", spec.name) == 0


@pytest.mark.parametrize(("count", "statuses"), [(80, {201}), (150, REFUSED)])
def test_many_headers(mesh: Mesh, count: int, statuses: set[int]) -> None:
    """Eighty headers besides those of the sidecars are accepted; more than a hundred get a 4xx."""
    spec = CreateSpec("cmdb", f"headers-{count}")
    headers = {f"X-Header-{number}": "value" for number in range(count)}
    assert spec.send(mesh.address(), headers).status in statuses
    assert mesh.testbed.sent("cmdb", spec.name) == int(statuses == {201})


def test_body_that_is_too_long(mesh: Mesh) -> None:
    """A body of 100 KiB passes the sidecars and gets the gateway's own 413 as a problem document."""
    response = send(mesh.address(), "POST", "/modules", b'"' + b"x" * 100 * KIB + b'"')
    assert (response.status, response.code) == (413, "payload_too_large")
    assert response.headers["content-type"] == "application/problem+json"


def test_connections_work_after_a_refusal(mesh: Mesh) -> None:
    """A refused request leaves no unread bytes for the next request on a shared connection."""
    for length in (*TOO_LONG, 100):
        send(mesh.address(), "POST", "/modules", b"x" * 100 * KIB, headers={"X-Auth-Token": "t" * length})
        assert send(mesh.address(), "GET", "/livez").status == 200
