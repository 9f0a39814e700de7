from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.envoy.mesh import DOMAIN, Mesh, MeshTopology, run_mesh
from tests.integration.http_client import send

pytestmark = pytest.mark.loopback

_AUTH: Final = """
[auth]
mode = "required"
[auth.mesh]
trusted_hops = ["{hop}"]
[[callers]]
name = "portal"
spiffe = "{domain}/portal"
allow = ["*:cmdb:1"]
[[callers]]
name = "reader"
spiffe = "{domain}/reader"
allow = ["read:cmdb:1"]
"""
#: Workloads with a certificate of the mesh; the first two are callers of the gateway.
CALLERS: Final = ("portal", "reader", "stranger")
READ: Final = "/modules?backend=cmdb&scope=1"


def _config(hop: str) -> MeshTopology:
    return MeshTopology(replicas=1, callers=CALLERS, auth=_AUTH.format(hop=hop, domain=DOMAIN))


@pytest.fixture(scope="module")
def mesh_with_auth(envoy: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh whose gateway trusts its own sidecar."""
    with run_mesh(tmp_path_factory.mktemp("mesh_with_auth"), _config("127.0.0.1")) as mesh:
        yield mesh


@pytest.mark.parametrize(
    ("caller", "created", "read"), [("portal", 201, 200), ("reader", 403, 200), ("stranger", 401, 401)]
)
def test_certificate_identifies_the_caller(mesh_with_auth: Mesh, caller: str, created: int, read: int) -> None:
    """The SPIFFE id of the client certificate determines the caller and its permissions."""
    spec = CreateSpec("cmdb", f"made-by-{caller}")
    assert spec.send(mesh_with_auth.address(caller=caller)).status == created
    assert send(mesh_with_auth.address(caller=caller), "GET", READ).status == read
    assert mesh_with_auth.testbed.created_count("cmdb", spec.name) == int(created == 201)


@pytest.mark.parametrize("header", [f"URI={DOMAIN}/portal", f"By={DOMAIN}/gateway;Hash=00;URI={DOMAIN}/portal"])
def test_forged_certificate_header_is_replaced(mesh_with_auth: Mesh, header: str) -> None:
    """The sidecars replace a caller's X-Forwarded-Client-Cert; its real certificate counts."""
    headers = {"X-Forwarded-Client-Cert": header}
    spec = CreateSpec("cmdb", "made-with-forged-header")
    assert spec.send(mesh_with_auth.address(caller="stranger"), headers).status == 401
    response = spec.send(mesh_with_auth.address(caller="reader"), headers)
    assert (response.status, response.code) == (403, "forbidden")
    assert mesh_with_auth.testbed.sent("cmdb", spec.name) == 0


def test_request_outside_the_mesh(mesh_with_auth: Mesh) -> None:
    """A direct request to the gateway without credentials gets 401."""
    response = send(mesh_with_auth.testbed.addresses[0], "GET", READ)
    assert (response.status, response.code) == (401, "unauthenticated")


def test_operation_belongs_to_its_caller(mesh_with_auth: Mesh) -> None:
    """Only the caller that sent a create can read its operation."""
    accepted = CreateSpec("cmdb", "followed").send(mesh_with_auth.address(), {"Prefer": "respond-async"})
    assert accepted.status == 202
    location = accepted.headers["location"]
    assert send(mesh_with_auth.address(), "GET", location).status == 200
    assert send(mesh_with_auth.address(caller="reader"), "GET", location).status == 404


def test_untrusted_proxy(envoy: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """If another address is the trusted proxy, the header is ignored: 401 through the sidecars and directly."""
    with run_mesh(tmp_path_factory.mktemp("unknown"), _config("10.0.0.1")) as mesh:
        assert send(mesh.address(), "GET", READ).status == 401
        headers = {"X-Forwarded-Client-Cert": f"URI={DOMAIN}/portal"}
        assert send(mesh.testbed.addresses[0], "GET", READ, headers=headers).status == 401
