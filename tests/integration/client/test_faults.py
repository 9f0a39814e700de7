"""The client in front of a real gateway under every fault: no module is created twice, and no success is false."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from gateway.client import ApiError, Client
from gateway.client.models import Draft, Module
from tests.integration.chaos.testbed import TARGETS, GatewayTestbed, Topology, run_testbed
from tests.integration.client.proxy import FAULTS, run_proxy

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(240)]
TOPOLOGY = Topology()


@pytest.fixture(scope="module")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with run_testbed(tmp_path_factory.mktemp("testbed"), TOPOLOGY) as testbed:
        yield testbed


def url(testbed: GatewayTestbed) -> str:
    return f"http://{testbed.addresses[0]}"


def draft(backend: str, name: str) -> Draft:
    return cast("Draft", {"backend": backend, "name": name, **TARGETS[backend]})


def outcome_of(call: Callable[[], Any]) -> tuple[str, Any]:
    """Return the outcome that a call reports, and what it returned or raised."""
    try:
        return "applied", call()
    except ApiError as error:
        return error.outcome, error


def fault_rules(testbed: GatewayTestbed, backend: str, operation: str, effect: str) -> list[dict[str, Any]]:
    """Return a rule for every fault of the menu that has the effect, or none.

    A connection that signs its requests has no token that expires.
    """
    menu = testbed.twin(backend, "GET", "faults")["menu"]
    return [
        {"fault": entry["fault"], "operation": operation}
        | ({"effect": effect} if "effect" in entry["parameters"] else {})
        for entry in menu
        if "effect" in entry["parameters"] or effect == "now"
        if entry["fault"] != "token-expired"
    ]


@pytest.mark.parametrize("effect", ["now", "never", "late"])
@pytest.mark.parametrize("backend", TARGETS)
def test_creates_under_every_fault(testbed: GatewayTestbed, backend: str, effect: str) -> None:
    """A success is one module in the ledger, the one that was returned; a refusal is none; an unknown at most one."""
    rules = fault_rules(testbed, backend, "create", effect)
    testbed.twin(backend, "POST", "faults", rules)
    names = [f"{effect}-{number}" for number in range(len(rules) + 2)]

    def create(name: str) -> tuple[str, Any]:
        with Client(url(testbed), timeout=60.0, attempt_timeout=3.0) as client:
            return outcome_of(lambda: client.create(draft(backend, name)))

    with ThreadPoolExecutor(4) as pool:
        results = dict(zip(names, pool.map(create, names), strict=True))
    struck = testbed.twin(backend, "GET", "faults")["struck"]
    testbed.twin(backend, "DELETE", "faults")
    assert {rule["fault"] for rule in rules} <= set(struck)
    for name, (outcome, result) in results.items():
        ids = testbed.created_ids(backend, name)
        if outcome == "applied":
            assert [result["native_id"]] == ids, name
        elif outcome == "not_applied":
            assert ids == [], (name, result)
        else:
            assert len(ids) <= 1, (name, result)
    assert sum(outcome == "applied" for outcome, _ in results.values()) >= len(names) // 2, results


@pytest.mark.parametrize("effect", ["now", "never"])
@pytest.mark.parametrize("guarded", [True, False])
def test_updates_under_every_fault(testbed: GatewayTestbed, guarded: bool, effect: str) -> None:
    """An update that is reported as applied, or as not applied, is so."""
    rules = fault_rules(testbed, "cmdb", "update", effect)

    def update(number: int) -> None:
        with Client(url(testbed), timeout=30.0, attempt_timeout=3.0) as client:
            module = client.create(draft("cmdb", f"u-{effect}-{guarded}-{number}"))
            if_match = module["etag"] if guarded else None
            new_name = f"{module['name']}-new"
            outcome, result = outcome_of(lambda: client.update(module["id"], {"name": new_name}, if_match=if_match))
            current: Module = client.get(module["id"])
            expected = {"applied": {new_name}, "not_applied": {module["name"]}, "unknown": {new_name, module["name"]}}
            assert current["name"] in expected[outcome], (outcome, result, current)

    testbed.twin("cmdb", "POST", "faults", rules)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(update, range(len(rules))))
    testbed.twin("cmdb", "DELETE", "faults")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_proxy_that_answers_itself(testbed: GatewayTestbed, fault: str) -> None:
    """A create ends as one module or unknown; an update or delete is not repeated, and none is called applied."""
    passes = FAULTS[fault][0]
    name = fault.replace(" ", "-").replace(",", "")
    with run_proxy(testbed.addresses[0], FAULTS[fault]) as proxy_url, Client(proxy_url, timeout=20.0) as client:
        outcome, result = outcome_of(lambda: client.create(draft("cmdb", name)))
    with Client(url(testbed)) as direct:
        if outcome == "applied":
            assert testbed.created_ids("cmdb", name) == [result["native_id"]]
        else:  # what is no sign of a gateway that is away is not repeated; with the key, the caller can
            assert (outcome, result.code) == ("unknown", "unexpected_answer")
            assert testbed.created_count("cmdb", name) == int(passes)
            direct.create(draft("cmdb", name), idempotency_key=result.idempotency_key)
            assert testbed.created_count("cmdb", name) == 1
        module = next(direct.list("cmdb", "1", name=name))
        for method in ("update", "delete"):
            with run_proxy(testbed.addresses[0], FAULTS[fault]) as proxy_url, Client(proxy_url) as client:
                arguments: list[Mapping[str, Any]] = [{"name": f"{name}-2"}] if method == "update" else []
                outcome, _ = outcome_of(lambda: getattr(client, method)(module["id"], *arguments))  # noqa: B023
            assert outcome == "unknown"
            state, current = outcome_of(lambda: direct.get(module["id"]))
            if method == "update":
                assert current["name"] == (f"{name}-2" if passes else name)
            else:
                assert (state == "not_applied") is passes


def test_a_gateway_that_is_killed(tmp_path: Any) -> None:
    """Clients that create while all of its processes are killed, and started again, get every module once."""
    names = [f"killed-{number}" for number in range(24)]
    with run_testbed(tmp_path, TOPOLOGY) as testbed:
        started = threading.Semaphore(0)

        def create(name: str) -> Any:
            with Client(url(testbed), timeout=60.0, attempt_timeout=3.0) as client:
                started.release()
                return client.create(draft("cmdb", name))

        testbed.fault("cmdb", {"fault": "delay", "seconds": 0.2, "times": -1})
        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(create, name) for name in names]
            for _ in range(12):
                started.acquire()
            testbed.replicas[0].kill()
            testbed.replicas[0].start()
            modules = [future.result() for future in futures]
        for name, module in zip(names, modules, strict=True):
            assert testbed.created_ids("cmdb", name) == [module["native_id"]]
