"""The Envoy configuration: its values, and its behaviour in a real Envoy."""

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
from tests.integration.deploy.conftest import GunicornSettings
from tests.integration.deploy.envoy_proxy import ENVOY, Behaviour, EnvoyProxy, StubReplica, run_envoy

FILE = ROOT / "deploy/mesh/envoy.yaml"


def configuration() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return document


def manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    (listener,) = bootstrap["static_resources"]["listeners"]
    typed_config: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return typed_config


def cluster() -> dict[str, Any]:
    (resource,) = configuration()["static_resources"]["clusters"]
    assert isinstance(resource, dict)
    return resource


def routes() -> list[dict[str, Any]]:
    (host,) = manager(configuration())["route_config"]["virtual_hosts"]
    return [route["route"] for route in host["routes"] if "route" in route]


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    command = [ENVOY, "--mode", "validate", "--config-path", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_configuration_is_valid() -> None:
    """`envoy --mode validate` reports no error."""
    process = validate(FILE)
    assert process.returncode == 0, process.stderr


def test_validation_detects_errors(tmp_path: Path) -> None:
    """An unknown field is refused."""
    invalid = copy.deepcopy(configuration())
    manager(invalid)["idle_timeouts"] = "1s"
    path = tmp_path / "invalid.yaml"
    path.write_text(yaml.safe_dump(invalid), encoding="utf-8")
    assert validate(path).returncode != 0


def test_timeouts(gunicorn_settings: GunicornSettings, deadline_seconds: float) -> None:
    """The idle timeout is below gunicorn's keepalive, the route timeouts above the gateway's deadline."""
    protocol = next(iter(cluster()["typed_extension_protocol_options"].values()))
    assert float(protocol["common_http_protocol_options"]["idle_timeout"][:-1]) < gunicorn_settings["keepalive"]
    assert [float(route["timeout"][:-1]) > deadline_seconds for route in routes()] == [True, True]


def test_health_checks() -> None:
    """Round robin over all addresses of the name, with health checks of /readyz."""
    resource = cluster()
    assert (resource["type"], resource["lb_policy"]) == ("STRICT_DNS", "ROUND_ROBIN")
    assert resource["health_checks"][0]["http_health_check"] == {"path": "/readyz"}


@pytest.fixture(scope="module")
def proxy() -> Iterator[EnvoyProxy]:
    """Envoy with this configuration and two stub replicas."""
    with run_envoy(configuration()) as proxy:
        yield proxy


@pytest.fixture
def replicas(proxy: EnvoyProxy) -> tuple[StubReplica, StubReplica]:
    """Both replicas after a reset."""
    for replica in proxy.replicas:
        replica.reset()
    return proxy.replicas


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("method", "behaviour"),
    [
        ("GET", "refuse"),
        ("POST", "refuse"),
        ("PATCH", "refuse"),
        ("DELETE", "refuse"),
        ("GET", "disconnect"),
        ("POST", "disconnect"),
    ],
)
def test_retries(
    method: str, behaviour: Behaviour, proxy: EnvoyProxy, replicas: tuple[StubReplica, StubReplica]
) -> None:
    """Envoy retries at the other replica after a 503, and reads and creates also after a lost response.

    Both attempts have the same X-Request-Id, by which the gateway recognizes the create.
    """
    replicas[0].behaviour = behaviour
    assert [proxy.send(method).status for _ in range(4)] == [200] * 4
    first, second = ([request["x-request-id"] for request in replica.requests] for replica in replicas)
    assert first
    assert set(first) <= set(second)
    assert len(set(second)) == 4


@pytest.mark.loopback
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_change_is_not_retried_after_a_lost_response(
    method: str, proxy: EnvoyProxy, replicas: tuple[StubReplica, StubReplica]
) -> None:
    """An update or delete that may have been applied is sent once."""
    replicas[0].behaviour = "disconnect"
    assert sorted(proxy.send(method).status for _ in range(2)) == [200, 504]
    assert [len(replica.requests) for replica in replicas] == [1, 1]


@pytest.mark.loopback
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_write_with_a_lost_response_is_unknown(
    method: str, proxy: EnvoyProxy, replicas: tuple[StubReplica, StubReplica]
) -> None:
    """Envoy responds with the gateway's 504 problem; a 503 would mean that the write was not applied."""
    for replica in replicas:
        replica.behaviour = "disconnect"
    response = proxy.send(method, {"X-Request-Id": "caller-id"})
    problem = json.loads(response.text)
    assert (response.status, response.headers["Gateway-Outcome"]) == (504, "unknown")
    assert response.headers["Content-Type"] == "application/problem+json"
    error = OutcomeUnknown(operation="0")
    expected = {"code": error.code, "outcome": "unknown", "retryable": error.retryable, "status": 504}
    assert (
        problem.items()
        >= {**expected, "title": error.title, "type": f"/errors#{error.code}", "request_id": "caller-id"}.items()
    )


@pytest.mark.loopback
def test_timeout_header(proxy: EnvoyProxy, replicas: tuple[StubReplica, StubReplica]) -> None:
    """The gateway gets the route's timeout as x-envoy-expected-rq-timeout-ms, and the caller's request id."""
    proxy.send("POST", {"X-Request-Id": "caller-id"})
    (headers,) = [request for replica in replicas for request in replica.requests]
    assert headers["x-envoy-expected-rq-timeout-ms"] == "15000"
    assert headers["x-request-id"] == "caller-id"


@pytest.mark.loopback
def test_forged_client_certificate_and_metrics(proxy: EnvoyProxy, replicas: tuple[StubReplica, StubReplica]) -> None:
    """A caller's X-Forwarded-Client-Cert is removed, and /metrics is not exposed."""
    proxy.send("GET", {"X-Forwarded-Client-Cert": "URI=spiffe://cluster.local/ns/portal/sa/portal"})
    (headers,) = [request for replica in replicas for request in replica.requests]
    assert "x-forwarded-client-cert" not in headers
    assert proxy.send("GET", path="/metrics").status == 404
    assert sum(len(replica.requests) for replica in replicas) == 1
