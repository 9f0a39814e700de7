from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.integration.chaos.caller import Wanted
from tests.integration.envoy.asking import ask
from tests.integration.envoy.stand import DOMAIN, Mesh, Shape, meshed

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
#: The workloads that have a certificate of the mesh; the gateway knows the first two.
CALLERS: Final = ("portal", "reader", "stranger")
CREATE: Final = ("POST", "/modules")
READ: Final = "/modules?backend=cmdb&scope=1"


def _shape(hop: str) -> Shape:
    return Shape(replicas=1, callers=CALLERS, auth=_AUTH.format(hop=hop, domain=DOMAIN))


@pytest.fixture(scope="module")
def known(envoy: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh whose gateway believes its own sidecar."""
    with meshed(tmp_path_factory.mktemp("known"), _shape("127.0.0.1")) as mesh:
        yield mesh


@pytest.mark.parametrize(
    ("caller", "created", "read"), [("portal", 201, 200), ("reader", 403, 200), ("stranger", 401, 401)]
)
def test_a_certificate_is_the_caller(known: Mesh, caller: str, created: int, read: int) -> None:
    """The SPIFFE id of the certificate shown to the sidecar decides who asks, and so what he may."""
    wanted = Wanted("cmdb", f"made-by-{caller}")
    assert known.ask("plain", *CREATE, wanted.body, caller=caller).status == created
    assert known.ask("plain", "GET", READ, caller=caller).status == read
    assert known.stand.creates_of("cmdb", wanted.name) == int(created == 201)


@pytest.mark.parametrize("claimed", [f"URI={DOMAIN}/portal", f"By={DOMAIN}/gateway;Hash=00;URI={DOMAIN}/portal"])
def test_a_certificate_that_a_caller_writes_himself_is_replaced(known: Mesh, claimed: str) -> None:
    """What a caller sends as X-Forwarded-Client-Cert is gone when the sidecars have passed; his certificate counts."""
    headers = {"X-Forwarded-Client-Cert": claimed}
    wanted = Wanted("cmdb", "made-by-nobody")
    assert known.ask("plain", *CREATE, wanted.body, caller="stranger", headers=headers).status == 401
    answer = known.ask("plain", *CREATE, wanted.body, caller="reader", headers=headers)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert known.stand.sent("cmdb", wanted.name) == 0


def test_without_the_mesh_nobody_is_known(known: Mesh) -> None:
    """Straight to the gateway, with nothing that proves anything, is 401."""
    answer = ask(known.stand.addresses[0], "GET", READ)
    assert (answer.status, answer.code) == (401, "unauthenticated")


def test_an_operation_belongs_to_its_caller(known: Mesh) -> None:
    """A create is followed by the caller who sent it, through the mesh, and by nobody else."""
    body = Wanted("cmdb", "followed").body
    started = known.ask("plain", *CREATE, body, headers={"Prefer": "respond-async"})
    assert started.status == 202
    where = started.headers["location"]
    assert known.ask("plain", "GET", where).status == 200
    assert known.ask("plain", "GET", where, caller="reader").status == 404


def test_a_hop_that_is_not_trusted_is_not_believed(envoy: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where another address is the trusted hop, the header is ignored: through the sidecars and straight, 401."""
    with meshed(tmp_path_factory.mktemp("unknown"), _shape("10.0.0.1")) as mesh:
        assert mesh.ask("plain", "GET", READ).status == 401
        headers = {"X-Forwarded-Client-Cert": f"URI={DOMAIN}/portal"}
        assert ask(mesh.stand.addresses[0], "GET", READ, headers=headers).status == 401
