from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.testbed import GatewayTestbed, Topology
from tests.integration.http_client import HttpResponse

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

CALLERS = 200
#: With 200 requests on two cores no deadline may pass.
TOPOLOGY = Topology(workers=2, deadline=30.0, hard=30.0)


def _create_all(testbed: GatewayTestbed, spec_for: Callable[[int], CreateSpec]) -> list[HttpResponse]:
    """Send the creates of all callers concurrently, each on a connection of its own."""
    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(lambda number: spec_for(number).send(testbed.addresses[0]), range(CALLERS)))


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
@pytest.mark.parametrize("by", ["key", "request-id"])
def test_identical_creates_are_sent_once(testbed: GatewayTestbed, backend: str, by: str) -> None:
    """200 identical concurrent creates at two workers: one is sent, and all get 201 with its module."""
    name = f"same-{by}"
    testbed.fault(backend, {"fault": "delay", "seconds": 0.3})
    responses = _create_all(testbed, lambda _: CreateSpec(backend, name, by))
    assert {response.status for response in responses} == {201}, responses[0].body
    assert all(response.body == responses[0].body for response in responses)
    assert (testbed.sent(backend, name), testbed.created_count(backend, name)) == (1, 1)
    assert testbed.live() == 0


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
def test_different_creates_are_all_sent(testbed: GatewayTestbed, backend: str) -> None:
    """200 different concurrent creates at two workers: 200 modules, each created by one request."""
    created_before, sent_before = testbed.created_ids(backend), testbed.sent(backend)
    responses = _create_all(testbed, lambda number: CreateSpec(backend, f"module-{number}"))
    assert {response.status for response in responses} == {201}, responses[0].body
    ids = [response.body["native_id"] for response in responses]
    assert len(set(ids)) == CALLERS
    assert set(ids) == set(testbed.created_ids(backend)) - set(created_before)
    assert len(testbed.created_ids(backend)) == len(created_before) + CALLERS
    assert testbed.sent(backend) - sent_before == CALLERS
    assert testbed.live() == 0
