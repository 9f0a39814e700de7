"""Adding, matching, listing and removing fault rules."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.twins import cmdb, projectman
from gateway.twins.projectman import SeedInvalidError
from tests.unit.twins.faults.conftest import CLOSED, ESB, TWINS, RawResponse, TwinClient

pytestmark = pytest.mark.loopback


def outcomes(twin: TwinClient, number: int) -> str:
    """Return a letter for each create: `.` for a response, `x` for a closed connection."""
    return "".join("x" if twin.create(f"m{index}") == CLOSED else "." for index in range(number))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, "x..."),
        ({"times": 2}, "xx.."),
        ({"after": 2}, "..x."),
        ({"after": 1, "times": -1}, ".xxx"),
        ({"operation": "update", "times": -1}, "...."),
    ],
)
def test_times_and_after(twin: TwinClient, members: dict[str, Any], expected: str) -> None:
    """`after` requests pass, `times` requests fail; requests of other operations do not count."""
    twin.add_rules({"fault": "drop", **members})
    assert outcomes(twin, 4) == expected


def test_one_fault_of_each_category_applies(twin: TwinClient) -> None:
    """The oldest rule of a category applies and the next waits; a rule of another category applies too."""
    twin.add_rules({"fault": "drop"}, {"fault": "html"}, {"fault": "clock-skew", "times": -1})
    assert [twin.create("a").raw[:15], twin.create("b").raw[:15]] == [b"", b"HTTP/1.1 200 OK"]
    assert [faults for _, faults in twin.ledger()] == [["clock-skew", "drop"], ["clock-skew", "html"]]


def test_a_rule_for_the_backends_name_of_an_operation(twin: TwinClient) -> None:
    """A rule can name an operation as the twin counts it."""
    twin.add_rules({"fault": "drop", "operation": "create_module"})
    assert outcomes(twin, 2) == "x."


def test_a_header_applies_to_its_request(twin: TwinClient) -> None:
    """Several faults of different categories, with numbers and text; the next request is not affected."""
    header = "status;status=502;body=json;effect=now, delay;seconds=0"
    assert twin.create("a", X_Twin_Fault=header).status == 502
    assert twin.ledger() == [("a", ["delay", "status"])]
    assert twin.create("b").status == 200
    assert twin.get_control("faults")["struck"] == {"status": 1, "delay": 1}


def test_a_header_precedes_rules(twin: TwinClient) -> None:
    """A rule of the same category waits for the next request."""
    twin.add_rules({"fault": "drop"})
    assert twin.create("a", X_Twin_Fault="html;effect=never").status == 200
    assert (twin.create("b"), twin.ledger()) == (CLOSED, [("b", ["drop"])])


@pytest.mark.parametrize("name", sorted(TWINS))
def test_a_seed_has_rules(name: str) -> None:
    """The rules under `faults` of a seed apply from the first request on."""
    with TWINS[name]({"faults": [{"fault": "drop", "operation": "create"}]}) as twin:
        assert outcomes(twin, 2) == "x."


def test_a_seed_with_an_invalid_rule_is_rejected() -> None:
    """ValueError, with the text of the response to an invalid rule."""
    seed = {"faults": [{"fault": "earthquake"}]}
    with pytest.raises(ValueError, match="unknown fault 'earthquake'; expected one of delay, drop"):
        cmdb.create_twin(seed)
    with pytest.raises(SeedInvalidError, match="faults: unknown fault 'earthquake'"):
        projectman.create_twin(seed)


def test_rules_are_listed_and_removed(twin: TwinClient) -> None:
    """GET returns defaults and counts; DELETE removes the rules, a reset also the attempts."""
    twin.add_rules({"fault": "drop", "operation": "create", "times": 2, "after": 1})
    outcomes(twin, 2)
    (rule,) = twin.get_control("faults")["faults"]
    members = {"fault": "drop", "operation": "create", "times": 2, "after": 1, "effect": "now", "seconds": 1.0}
    assert rule == {**members, "seen": 2, "struck": 1, "pending": True}
    outcomes(twin, 1)
    assert twin.get_control("faults")["faults"][0]["pending"] is False
    assert twin.send("DELETE", "/twin/faults").status == 204
    assert twin.get_control("faults")["faults"] == []
    assert len(twin.attempted_names()) == 3
    twin.add_rules({"fault": "drop", "times": -1})
    assert twin.send("POST", "/twin/reset").status == 204
    assert (outcomes(twin, 1), twin.attempted_names()) == (".", ["m0"])


def test_the_menu_lists_fault_types(twin: TwinClient) -> None:
    """Every fault type with meaning and defaults, those of the backend included."""
    menu = {entry["fault"]: entry for entry in twin.get_control("faults")["menu"]}
    assert {"delay", "drop", "read-lag", "rate-limited", "gateway-rate-limited"} <= menu.keys()
    assert menu["delay"]["parameters"] == {"seconds": 1.0, "when": "before"}
    assert all(entry["meaning"] for entry in menu.values())


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (7, "a rule must be a JSON object, not 7"),
        ({"fault": ["drop"]}, "unknown fault ['drop']; expected one of delay"),
        ({"fault": "drop", "byte": 1}, "drop has no parameter byte; its parameters: effect, seconds"),
        ({"fault": "drop", "times": 0}, "times must be an integer from 1, or -1 for no limit, not 0"),
        ({"fault": "drop", "times": True}, "times must be an integer"),
        ({"fault": "drop", "after": 1.5}, "after must be an integer"),
        ({"fault": "drop", "operation": "move"}, "operation must be one of *, create, update, delete, list"),
        ({"fault": "read-lag", "operation": "list"}, "operation must be one of *, create, update, delete, "),
        ({"fault": "drop", "effect": "soon"}, "effect must be one of now, never, late, not 'soon'"),
        ({"fault": "delay", "seconds": "1"}, "seconds must be a number from 0 to 3600, not '1'"),
        ({"fault": "delay", "seconds": 3601}, "seconds must be a number from 0 to 3600"),
        ({"fault": "status", "status": 600}, "status must be an integer from 200 to 599, not 600"),
        ({"fault": "reset", "byte": 1, "effect": "never"}, "byte must be 0 unless effect is now"),
        ({"fault": "redirect", "location": "/a\r\nX: y"}, "location must be printable ASCII"),
    ],
)
def test_an_invalid_rule_is_rejected(twin: TwinClient, rule: object, text: str) -> None:
    """400 with the error; a list with an invalid rule adds none."""
    response = twin.send("POST", "/twin/faults", [{"fault": "drop"}, rule])
    assert response.status == 400
    assert text in response.json["error"]
    assert twin.get_control("faults")["faults"] == []


@pytest.mark.parametrize("header", ["", "earthquake", "drop;effect", "drop;times=2", "drop,"])
def test_an_invalid_header_is_rejected(twin: TwinClient, header: str) -> None:
    """400 and no write; an empty header is ignored."""
    assert twin.create("a", X_Twin_Fault=header).status == (400 if header else 200)
    assert len(twin.ledger()) == (not header)


def test_a_body_that_is_not_json_is_rejected(twin: TwinClient) -> None:
    """An empty body is not JSON."""
    assert twin.send("POST", "/twin/faults").json == {"error": "the body is not JSON"}


def test_concurrent_clients_share_the_rules(twin: TwinClient) -> None:
    """Of twenty concurrent requests exactly seven fail; all twenty arrive and are applied."""
    twin.add_rules({"fault": "drop", "operation": "create", "times": 7})
    barrier = threading.Barrier(20)

    def create(number: int) -> RawResponse:
        barrier.wait()
        return twin.create(f"m{number}")

    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(create, range(20)))
    assert responses.count(CLOSED) == 7
    assert len(set(twin.attempted_names())) == len(twin.ledger()) == 20
    assert twin.get_control("requests")["create_module"] == 20


def test_attempts_show_a_repeated_write(twin: TwinClient) -> None:
    """The same body with two request ids is two attempts with one digest, and one write."""
    twin.add_rules({"fault": "drop", "operation": "create", "effect": "never"})
    for request_id in ("r-1", "r-2"):
        twin.create("a", X_Request_Id=request_id)
    attempts = twin.get_control("attempts")["attempts"]
    assert [(attempt["request_id"], attempt["faults"]) for attempt in attempts] == [("r-1", ["drop"]), ("r-2", [])]
    assert len({attempt["body_sha256"] for attempt in attempts}) == 1
    assert (attempts[0]["operation"], attempts[0]["path"]) == ("create_module", twin.create_path)
    assert twin.ledger() == [("a", [])]


def test_an_attempt_without_a_name(twin: TwinClient) -> None:
    """An unreadable body is an attempt too; only its digest is stored."""
    twin.send("POST", twin.create_path, ["password"])
    twin.send("POST", twin.create_path)
    attempts = twin.get_control("attempts")["attempts"]
    assert [attempt["name"] for attempt in attempts] == [None, None]
    assert "password" not in str(attempts)


def test_faults_under_the_test_client() -> None:
    """Flask's test client ignores faults of the transport; faults that respond work as over HTTP."""
    client = cmdb.create_twin({"faults": [{"fault": "status", "after": 1}, {"fault": "drop"}]}).test_client()
    assert [client.post(f"{ESB}/search_business/", json={}).status_code for _ in range(2)] == [200, 503]
