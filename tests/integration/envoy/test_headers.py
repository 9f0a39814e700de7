from __future__ import annotations

from typing import Final

import pytest

from tests.integration.chaos.caller import Wanted
from tests.integration.envoy.resources import HEADERS_KIB
from tests.integration.envoy.stand import Mesh

pytestmark = pytest.mark.loopback

KIB: Final = 1024
#: More than gunicorn reads in one header, and more than Envoy in all of them.
TOO_LONG: Final = (65 * KIB, HEADERS_KIB * KIB + 1)
CLEAN: Final = {400, 413, 414, 431}


@pytest.mark.parametrize("name", ["Authorization", "X-Auth-Token"])
def test_a_token_of_32_kib_arrives(mesh: Mesh, name: str) -> None:
    """The longest tokens that Huawei's IAM issues pass both sidecars and gunicorn, and are answered as any other."""
    token = "Bearer " + "t" * 32 * KIB
    wanted = Wanted("cmdb", f"long-{name.lower()}")
    answer = mesh.ask("plain", "POST", "/modules", wanted.body, headers={name: token})
    assert answer.status == 201
    assert mesh.stand.creates_of("cmdb", wanted.name) == 1


@pytest.mark.parametrize("length", TOO_LONG)
def test_a_header_too_long_is_refused(mesh: Mesh, length: int) -> None:
    """A header too long for gunicorn or for Envoy is a clean 4xx; nothing of the request is done."""
    wanted = Wanted("cmdb", f"too-long-{length}")
    answer = mesh.ask("plain", "POST", "/modules", wanted.body, headers={"X-Auth-Token": "t" * length})
    assert answer.status in CLEAN
    assert mesh.stand.sent("cmdb", wanted.name) == 0


@pytest.mark.parametrize(("count", "statuses"), [(80, {201}), (150, CLEAN)])
def test_many_headers_are_taken_or_refused(mesh: Mesh, count: int, statuses: set[int]) -> None:
    """Eighty headers besides those of the sidecars are no trouble; more than a hundred are a clean 4xx."""
    wanted = Wanted("cmdb", f"headers-{count}")
    headers = {f"X-Header-{number}": "value" for number in range(count)}
    assert mesh.ask("plain", "POST", "/modules", wanted.body, headers=headers).status in statuses
    assert mesh.stand.sent("cmdb", wanted.name) == int(statuses == {201})


def test_a_body_too_long_is_refused_in_our_words(mesh: Mesh) -> None:
    """A body of 100 KiB passes the sidecars and is our own 413, whole and in JSON."""
    answer = mesh.ask("plain", "POST", "/modules", b'"' + b"x" * 100 * KIB + b'"')
    assert (answer.status, answer.code) == (413, "payload_too_large")
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_sidecars_go_on_after_a_refusal(mesh: Mesh) -> None:
    """What was refused leaves no half-read request behind for the next one on a shared connection."""
    for length in (*TOO_LONG, 100):
        mesh.ask("plain", "POST", "/modules", b"x" * 100 * KIB, headers={"X-Auth-Token": "t" * length})
        assert mesh.ask("plain", "GET", "/livez").status == 200
