"""How faults are ordered, matched to requests, told of and forgotten."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.twins import cmdb, projectman
from gateway.twins.projectman import SeedInvalidError
from tests.twins.faults.stand import ESB, STANDS, Received, Stand

pytestmark = pytest.mark.loopback

GONE = Received(b"")


def outcomes(stand: Stand, number: int) -> str:
    """One letter a create: `.` answered, `x` hung up on."""
    return "".join("x" if stand.create(f"m{each}") == GONE else "." for each in range(number))


@pytest.mark.parametrize(
    ("orders", "struck"),
    [
        ({}, "x..."),
        ({"times": 2}, "xx.."),
        ({"after": 2}, "..x."),
        ({"after": 1, "times": -1}, ".xxx"),
        ({"operation": "update", "times": -1}, "...."),
    ],
)
def test_times_and_after(stand: Stand, orders: dict[str, Any], struck: str) -> None:
    """`after` lets some pass, `times` are struck, other operations are let be."""
    stand.order({"fault": "drop", **orders})
    assert outcomes(stand, 4) == struck


def test_one_of_a_sort_at_a_time(stand: Stand) -> None:
    """The oldest order strikes, the next of its sort waits; one of another sort strikes along."""
    stand.order({"fault": "drop"}, {"fault": "html"}, {"fault": "clock-skew", "times": -1})
    assert [stand.create("a").raw[:15], stand.create("b").raw[:15]] == [b"", b"HTTP/1.1 200 OK"]
    assert [faults for _, faults in stand.written()] == [["clock-skew", "drop"], ["clock-skew", "html"]]


def test_an_order_by_the_backends_own_name(stand: Stand) -> None:
    """An operation can be named as the twin counts it."""
    stand.order({"fault": "drop", "operation": "create_module"})
    assert outcomes(stand, 2) == "x."


def test_a_header_strikes_its_own_request(stand: Stand) -> None:
    """Several faults of different sorts, with numbers and words; the next request is not struck."""
    header = "status;status=502;body=json;effect=now, delay;seconds=0"
    assert stand.create("a", X_Twin_Fault=header).status == 502
    assert stand.written() == [("a", ["delay", "status"])]
    assert stand.create("b").status == 200
    assert stand.twin("faults")["struck"] == {"status": 1, "delay": 1}


def test_a_header_comes_before_orders(stand: Stand) -> None:
    """The order of the same sort waits for the next request."""
    stand.order({"fault": "drop"})
    assert stand.create("a", X_Twin_Fault="html;effect=never").status == 200
    assert (stand.create("b"), stand.written()) == (GONE, [("b", ["drop"])])


@pytest.mark.parametrize("name", sorted(STANDS))
def test_a_seed_orders(name: str) -> None:
    """The key `faults` of a seed strikes from the first request on."""
    with STANDS[name]({"faults": [{"fault": "drop", "operation": "create"}]}) as stand:
        assert outcomes(stand, 2) == "x."


def test_a_seed_with_a_bad_order_is_not_laid() -> None:
    """ValueError, with the words an order over HTTP would get."""
    seed = {"faults": [{"fault": "earthquake"}]}
    with pytest.raises(ValueError, match="unknown fault 'earthquake'; this twin knows delay, drop"):
        cmdb.create_twin(seed)
    with pytest.raises(SeedInvalidError, match="faults: unknown fault 'earthquake'"):
        projectman.create_twin(seed)


def test_orders_are_told_and_forgotten(stand: Stand) -> None:
    """GET tells defaults and what became of each; DELETE forgets orders, a reset the attempts as well."""
    stand.order({"fault": "drop", "operation": "create", "times": 2, "after": 1})
    outcomes(stand, 2)
    (told,) = stand.twin("faults")["faults"]
    own = {"fault": "drop", "operation": "create", "times": 2, "after": 1, "effect": "now", "seconds": 1.0}
    assert told == {**own, "seen": 2, "struck": 1, "pending": True}
    outcomes(stand, 1)
    assert stand.twin("faults")["faults"][0]["pending"] is False
    assert stand.send("DELETE", "/twin/faults").status == 204
    assert stand.twin("faults")["faults"] == []
    assert len(stand.attempted()) == 3
    stand.order({"fault": "drop", "times": -1})
    assert stand.send("POST", "/twin/reset").status == 204
    assert (outcomes(stand, 1), stand.attempted()) == (".", ["m0"])


def test_the_menu_is_told(stand: Stand) -> None:
    """Every kind with its meaning and defaults, this backend's own among them."""
    menu = {each["fault"]: each for each in stand.twin("faults")["menu"]}
    assert {"delay", "drop", "read-lag", "rate-limited", "gateway-rate-limited"} <= menu.keys()
    assert menu["delay"]["parameters"] == {"seconds": 1.0, "when": "before"}
    assert all(each["meaning"] for each in menu.values())


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (7, "an order is a JSON object, not 7"),
        ({"fault": ["drop"]}, "unknown fault ['drop']; this twin knows delay"),
        ({"fault": "drop", "byte": 1}, "drop takes no byte; its parameters: effect, seconds"),
        ({"fault": "drop", "times": 0}, "times must be a whole number from 1, or -1 for ever, not 0"),
        ({"fault": "drop", "times": True}, "times must be a whole number"),
        ({"fault": "drop", "after": 1.5}, "after must be a whole number"),
        ({"fault": "drop", "operation": "move"}, "operation must be one of *, create, update, delete, list"),
        ({"fault": "read-lag", "operation": "list"}, "operation must be one of *, create, update, delete, "),
        ({"fault": "drop", "effect": "soon"}, "effect must be one of now, never, late, not 'soon'"),
        ({"fault": "delay", "seconds": "1"}, "seconds must be a number from 0 to 3600, not '1'"),
        ({"fault": "delay", "seconds": 3601}, "seconds must be a number from 0 to 3600"),
        ({"fault": "status", "status": 600}, "status must be a whole number from 200 to 599, not 600"),
        ({"fault": "reset", "byte": 1, "effect": "never"}, "byte must be 0 unless effect is now"),
        ({"fault": "redirect", "location": "/a\r\nX: y"}, "location must be printable ASCII"),
    ],
)
def test_bad_orders_are_refused(stand: Stand, order: object, text: str) -> None:
    """400 says what is wrong; of a list with one bad order none is taken."""
    refused = stand.send("POST", "/twin/faults", [{"fault": "drop"}, order])
    assert refused.status == 400
    assert text in refused.json["error"]
    assert stand.twin("faults")["faults"] == []


@pytest.mark.parametrize("header", ["", "earthquake", "drop;effect", "drop;times=2", "drop,"])
def test_bad_headers_are_refused(stand: Stand, header: str) -> None:
    """400 and no write; an empty header orders nothing."""
    assert stand.create("a", X_Twin_Fault=header).status == (400 if header else 200)
    assert len(stand.written()) == (not header)


def test_a_body_that_is_no_json(stand: Stand) -> None:
    """Refused like any other order that cannot be read."""
    assert stand.send("POST", "/twin/faults").json == {"error": "the body is not JSON"}


def test_many_clients_share_the_menu(stand: Stand) -> None:
    """Of twenty requests at once exactly seven are struck; twenty arrived, twenty are written."""
    stand.order({"fault": "drop", "operation": "create", "times": 7})
    gate = threading.Barrier(20)

    def create(number: int) -> Received:
        gate.wait()
        return stand.create(f"m{number}")

    with ThreadPoolExecutor(20) as pool:
        received = list(pool.map(create, range(20)))
    assert received.count(GONE) == 7
    assert len(set(stand.attempted())) == len(stand.written()) == 20
    assert stand.twin("requests")["create_module"] == 20


def test_attempts_tell_what_was_sent_twice(stand: Stand) -> None:
    """Two arrivals of one body under two ids: two attempts with one digest, one write."""
    stand.order({"fault": "drop", "operation": "create", "effect": "never"})
    for number in ("r-1", "r-2"):
        stand.create("a", X_Request_Id=number)
    attempts = stand.twin("attempts")["attempts"]
    assert [(each["request_id"], each["faults"]) for each in attempts] == [("r-1", ["drop"]), ("r-2", [])]
    assert len({each["body_sha256"] for each in attempts}) == 1
    assert (attempts[0]["operation"], attempts[0]["path"]) == ("create_module", stand.shape.create_path)
    assert stand.written() == [("a", [])]


def test_an_attempt_without_a_name(stand: Stand) -> None:
    """What arrives unreadable has arrived all the same; of its body the digest is kept, and no word."""
    stand.send("POST", stand.shape.create_path, ["password"])
    stand.send("POST", stand.shape.create_path)
    attempts = stand.twin("attempts")["attempts"]
    assert [each["name"] for each in attempts] == [None, None]
    assert "password" not in str(attempts)


def test_faults_without_a_server() -> None:
    """Over Flask's test client faults of the wire do nothing, those that answer do as they do over HTTP."""
    client = cmdb.create_twin({"faults": [{"fault": "status", "after": 1}, {"fault": "drop"}]}).test_client()
    assert [client.post(f"{ESB}/search_business/", json={}).status_code for _ in range(2)] == [200, 503]
