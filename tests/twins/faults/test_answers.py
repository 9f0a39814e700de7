"""What a proxy, a balancer or a login page answers in a twin's place, with the write made and without."""

import pytest

from tests.twins.faults.stand import Stand

pytestmark = pytest.mark.loopback

EFFECTS = pytest.mark.parametrize("effect", ["now", "never"])


@EFFECTS
@pytest.mark.parametrize(
    ("order", "status", "mimetype", "beginning"),
    [
        ({"fault": "html"}, 200, "text/html", b"<!DOCTYPE html>"),
        ({"fault": "status"}, 503, "text/plain", b""),
        ({"fault": "status", "status": 502, "body": "html"}, 502, "text/html", b"<!DOCTYPE html>"),
        ({"fault": "status", "status": 500, "body": "json"}, 500, "application/json", b'{"message": "500 Internal'),
        ({"fault": "status", "status": 599}, 599, "text/plain", b""),
        ({"fault": "redirect"}, 302, "text/html", b"<!DOCTYPE html>"),
    ],
)
def test_an_answer_that_is_no_backends(
    stand: Stand, effect: str, order: dict[str, object], status: int, mimetype: str, beginning: bytes
) -> None:
    """Status, type and body are what was ordered; the ledger and a read tell whether the write was made."""
    stand.order({**order, "operation": "create", "effect": effect})
    received = stand.create("a")
    assert (received.status, received.head["content-type"].partition(";")[0]) == (status, mimetype)
    assert received.body.startswith(beginning)
    assert bool(received.body) is bool(beginning)
    assert stand.written() == ([("a", [order["fault"]])] if effect == "now" else [])
    assert stand.listed() == [name for name, _ in stand.written()]
    assert stand.attempted() == ["a"]


@pytest.mark.parametrize(
    ("order", "effect"), [("html", "now"), ("drop", "now"), ("status", "never"), ("redirect", "never")]
)
def test_effects_by_default(stand: Stand, order: str, effect: str) -> None:
    """What says nothing of success has none unless asked; what hides a reply hides a success."""
    stand.order({"fault": order})
    stand.create("a")
    assert len(stand.written()) == (effect == "now")


def test_a_redirect_leads_where_it_was_told(stand: Stand) -> None:
    """The Location is passed as it was ordered."""
    stand.order({"fault": "redirect", "location": "https://login.example/?next=1"})
    assert stand.create("a").head["location"] == "https://login.example/?next=1"


def test_a_refusal_is_hidden_like_a_success(stand: Stand) -> None:
    """`now` means that the request took its course: one its backend refuses is answered by the fault all the same."""
    stand.create("a")
    stand.order({"fault": "html", "operation": "create"})
    assert stand.create("a").body.startswith(b"<!DOCTYPE")
    assert stand.written() == [("a", [])]
    assert stand.attempted() == ["a", "a"]


def test_reads_are_struck_as_well(stand: Stand) -> None:
    """An order for `list` lets creates pass."""
    stand.order({"fault": "status", "operation": "list"})
    method, path, body = stand.shape.list_call
    assert (stand.create("a").status, stand.send(method, path, body).status) == (200, 503)
    assert stand.listed() == ["a"]
