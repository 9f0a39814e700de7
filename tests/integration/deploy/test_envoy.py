"""Envoy's configuration: what it says, and what the real Envoy makes of it."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.domain.errors import OutcomeUnknown
from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.conftest import Settings
from tests.integration.deploy.replicas import ENVOY, Behaviour, Front, Replica, front

FILE = ROOT / "deploy/mesh/envoy.yaml"


def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    (listener,) = bootstrap["static_resources"]["listeners"]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def cluster() -> dict[str, Any]:
    (found,) = document()["static_resources"]["clusters"]
    assert isinstance(found, dict)
    return found


def routes() -> list[dict[str, Any]]:
    (host,) = manager(document())["route_config"]["virtual_hosts"]
    return [route["route"] for route in host["routes"] if "route" in route]


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    line = [ENVOY, "--mode", "validate", "--config-path", str(path)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_envoy_takes_it() -> None:
    """`envoy --mode validate` finds no mistake."""
    done = validate(FILE)
    assert done.returncode == 0, done.stderr


def test_envoy_would_find_a_mistake(tmp_path: Path) -> None:
    """A field that does not exist is refused."""
    wrong = copy.deepcopy(document())
    manager(wrong)["idle_timeouts"] = "1s"
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(wrong), encoding="utf-8")
    assert validate(path).returncode != 0


def test_the_numbers_fit_the_gateway(gunicorn_settings: Settings, deadline_seconds: float) -> None:
    """Idle connections end before gunicorn's keep-alive, requests after the gateway's deadline."""
    protocol = next(iter(cluster()["typed_extension_protocol_options"].values()))
    assert float(protocol["common_http_protocol_options"]["idle_timeout"][:-1]) < gunicorn_settings["keepalive"]
    assert [float(route["timeout"][:-1]) > deadline_seconds for route in routes()] == [True, True]


def test_replicas_are_asked_whether_they_are_ready() -> None:
    """Round robin over every address of the name, by the answer of /readyz."""
    found = cluster()
    assert (found["type"], found["lb_policy"]) == ("STRICT_DNS", "ROUND_ROBIN")
    assert found["health_checks"][0]["http_health_check"] == {"path": "/readyz"}


@pytest.fixture(scope="module")
def served() -> Iterator[Front]:
    """Envoy with this configuration, in front of two replicas on this machine that do as they are told."""
    with front(document()) as started:
        yield started


@pytest.fixture
def replicas(served: Front) -> tuple[Replica, Replica]:
    """Both replicas, with nothing behind them."""
    for replica in served.replicas:
        replica.begin()
    return served.replicas


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("method", "behaviour"),
    [("GET", "refuse"), ("POST", "refuse"), ("PATCH", "refuse"), ("DELETE", "refuse"), ("GET", "cut"), ("POST", "cut")],
)
def test_it_is_repeated_elsewhere(
    method: str, behaviour: Behaviour, served: Front, replicas: tuple[Replica, Replica]
) -> None:
    """After a 503 the other replica is asked; reads and creates also after an answer was cut off. Nobody notices.

    The second attempt carries the first one's X-Request-Id, though the caller gave none: by it the gateway knows them
    for the same create.
    """
    replicas[0].behaviour = behaviour
    assert [served.ask(method).status for _ in range(4)] == [200] * 4
    first, second = ([each["x-request-id"] for each in replica.seen] for replica in replicas)
    assert first
    assert set(first) <= set(second)
    assert len(set(second)) == 4


@pytest.mark.loopback
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_that_was_cut_off_is_not(method: str, served: Front, replicas: tuple[Replica, Replica]) -> None:
    """An update or a delete that may have been applied is sent once; the caller decides."""
    replicas[0].behaviour = "cut"
    assert sorted(served.ask(method).status for _ in range(2)) == [200, 504]
    assert [len(replica.seen) for replica in replicas] == [1, 1]


@pytest.mark.loopback
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_a_write_that_was_cut_off_is_unknown(method: str, served: Front, replicas: tuple[Replica, Replica]) -> None:
    """Envoy's own answer to it is no 503, which would promise too much, but the gateway's 504 in the same envelope."""
    for replica in replicas:
        replica.behaviour = "cut"
    answer = served.ask(method, {"X-Request-Id": "mine"})
    told = json.loads(answer.text)
    assert (answer.status, answer.headers["Gateway-Outcome"]) == (504, "unknown")
    assert answer.headers["Content-Type"] == "application/problem+json"
    error = OutcomeUnknown(operation="0")
    wanted = {"code": error.code, "outcome": "unknown", "retryable": error.retryable, "status": 504}
    assert (
        told.items() >= {**wanted, "title": error.title, "type": f"/errors#{error.code}", "request_id": "mine"}.items()
    )


@pytest.mark.loopback
def test_the_gateway_is_told_how_long_the_proxy_waits(served: Front, replicas: tuple[Replica, Replica]) -> None:
    """The route's timeout arrives as x-envoy-expected-rq-timeout-ms; the caller's request id as he wrote it."""
    served.ask("POST", {"X-Request-Id": "mine"})
    (seen,) = [each for replica in replicas for each in replica.seen]
    assert seen["x-envoy-expected-rq-timeout-ms"] == "15000"
    assert seen["x-request-id"] == "mine"


@pytest.mark.loopback
def test_what_only_a_proxy_may_say_is_not_passed_on(served: Front, replicas: tuple[Replica, Replica]) -> None:
    """A client certificate that the caller made up does not arrive, and figures are not to be had here."""
    served.ask("GET", {"X-Forwarded-Client-Cert": "URI=spiffe://cluster.local/ns/portal/sa/portal"})
    (seen,) = [each for replica in replicas for each in replica.seen]
    assert "x-forwarded-client-cert" not in seen
    assert served.ask("GET", path="/metrics").status == 404
    assert sum(len(replica.seen) for replica in replicas) == 1
