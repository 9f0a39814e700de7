"""Responses of proxies, load balancers and login pages in the backend's place, with and without the write."""

import pytest

from tests.unit.twins.faults.conftest import TwinClient

pytestmark = pytest.mark.loopback

EFFECTS = pytest.mark.parametrize("effect", ["now", "never"])


@EFFECTS
@pytest.mark.parametrize(
    ("rule", "status", "mimetype", "beginning"),
    [
        ({"fault": "html"}, 200, "text/html", b"<!DOCTYPE html>"),
        ({"fault": "status"}, 503, "text/plain", b""),
        ({"fault": "status", "status": 502, "body": "html"}, 502, "text/html", b"<!DOCTYPE html>"),
        ({"fault": "status", "status": 500, "body": "json"}, 500, "application/json", b'{"message": "500 Internal'),
        ({"fault": "status", "status": 599}, 599, "text/plain", b""),
        ({"fault": "redirect"}, 302, "text/html", b"<!DOCTYPE html>"),
    ],
)
def test_a_response_in_the_backends_place(
    twin: TwinClient, effect: str, rule: dict[str, object], status: int, mimetype: str, beginning: bytes
) -> None:
    """Status, type and body are those of the rule; the write is applied or not, by the effect."""
    twin.add_rules({**rule, "operation": "create", "effect": effect})
    response = twin.create("a")
    assert (response.status, response.headers["content-type"].partition(";")[0]) == (status, mimetype)
    assert response.body.startswith(beginning)
    assert bool(response.body) is bool(beginning)
    assert twin.ledger() == ([("a", [rule["fault"]])] if effect == "now" else [])
    assert twin.list_names() == [name for name, _ in twin.ledger()]
    assert twin.attempted_names() == ["a"]


@pytest.mark.parametrize(
    ("fault", "effect"), [("html", "now"), ("drop", "now"), ("status", "never"), ("redirect", "never")]
)
def test_default_effects(twin: TwinClient, fault: str, effect: str) -> None:
    """By default an error status suppresses the write, and a lost response does not."""
    twin.add_rules({"fault": fault})
    twin.create("a")
    assert len(twin.ledger()) == (effect == "now")


def test_the_location_of_a_redirect(twin: TwinClient) -> None:
    """The Location header is that of the rule."""
    twin.add_rules({"fault": "redirect", "location": "https://login.example/?next=1"})
    assert twin.create("a").headers["location"] == "https://login.example/?next=1"


def test_an_error_of_the_backend_is_replaced(twin: TwinClient) -> None:
    """`now` carries out the request: the fault replaces an error response too."""
    twin.create("a")
    twin.add_rules({"fault": "html", "operation": "create"})
    assert twin.create("a").body.startswith(b"<!DOCTYPE")
    assert twin.ledger() == [("a", [])]
    assert twin.attempted_names() == ["a", "a"]


def test_faults_apply_to_reads(twin: TwinClient) -> None:
    """A rule for `list` does not affect creates."""
    twin.add_rules({"fault": "status", "operation": "list"})
    assert (twin.create("a").status, twin.send(*twin.list_request).status) == (200, 503)
    assert twin.list_names() == ["a"]
