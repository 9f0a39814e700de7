"""The Istio resources agree with the chart, gunicorn and the API."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
import yaml

from gateway.api import openapi
from tests.integration.deploy.charts import RELEASE, ROOT, manifest
from tests.integration.deploy.conftest import GunicornSettings

FOLDER = ROOT / "deploy/mesh/istio"
HOST = f"{RELEASE}.{RELEASE}.svc.cluster.local"


def resource(kind: str) -> dict[str, Any]:
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.yaml")]
    (document,) = [document for document in documents if document["kind"] == kind]
    assert isinstance(document, dict)
    return document


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


def test_host() -> None:
    """The host is the chart's service in a namespace of the same name, and its port is HTTP."""
    service = manifest("postgresql", "Service")
    assert HOST.startswith(f"{service['metadata']['name']}.")
    assert service["spec"]["ports"][0]["appProtocol"] == "http"
    assert resource("DestinationRule")["spec"]["host"] == HOST
    assert resource("VirtualService")["spec"]["hosts"] == [HOST]
    for route in resource("VirtualService")["spec"]["http"]:
        assert route["route"] == [{"destination": {"host": HOST}}]


@pytest.mark.parametrize(
    ("kind", "selector"),
    [
        ("Sidecar", ("workloadSelector", "labels")),
        ("PeerAuthentication", ("selector", "matchLabels")),
        ("AuthorizationPolicy", ("selector", "matchLabels")),
    ],
)
def test_selectors(kind: str, selector: tuple[str, str]) -> None:
    """Each selector matches the labels of the chart's pods."""
    labels = manifest("postgresql", "Deployment")["spec"]["template"]["metadata"]["labels"]
    matched = resource(kind)["spec"][selector[0]][selector[1]]
    assert matched
    assert matched.items() <= labels.items()


def test_idle_timeouts(gunicorn_settings: GunicornSettings) -> None:
    """Both proxies close an idle connection before gunicorn does."""
    outer = resource("DestinationRule")["spec"]["trafficPolicy"]["connectionPool"]["http"]["idleTimeout"]
    inner = resource("Sidecar")["spec"]["inboundConnectionPool"]["http"]["idleTimeout"]
    assert max(seconds(outer), seconds(inner)) < gunicorn_settings["keepalive"]


def test_route_timeouts(deadline_seconds: float) -> None:
    """The timeouts of the routes exceed the gateway's deadline."""
    for route in resource("VirtualService")["spec"]["http"]:
        assert seconds(route["timeout"]) > deadline_seconds


def test_retries() -> None:
    """Changes are retried only if they were not delivered; reads and creates also after a 503."""
    changes, others = resource("VirtualService")["spec"]["http"]
    assert [match["method"] for match in changes["match"]] == [{"exact": "PATCH"}, {"exact": "DELETE"}]
    assert "match" not in others
    assert changes["retries"] == {"attempts": 2, "retryOn": "connect-failure,refused-stream"}
    assert others["retries"] == {"attempts": 2, "retryOn": "connect-failure,refused-stream,503"}


def test_outlier_detection() -> None:
    """Only connection failures eject a pod; error statuses come from a backend and are the same in all pods."""
    detection = resource("DestinationRule")["spec"]["trafficPolicy"]["outlierDetection"]
    assert detection["splitExternalLocalOriginErrors"] is True
    assert detection["consecutiveLocalOriginFailures"] > 0
    assert (detection["consecutiveGatewayErrors"], detection["consecutive5xxErrors"]) == (0, 0)
    assert detection["maxEjectionPercent"] < 100


def test_mtls_is_strict() -> None:
    """Connections without mTLS are refused."""
    assert resource("PeerAuthentication")["spec"]["mtls"] == {"mode": "STRICT"}


def test_authorization_policy() -> None:
    """Callers may use every resource of the API; only monitoring may read /metrics."""
    rules = resource("AuthorizationPolicy")["spec"]["rules"]
    callers, monitoring = ([path for to in rule["to"] for path in to["operation"]["paths"]] for rule in rules)
    paths = {path.replace("{", "").replace("}", "") for path in openapi.build()["paths"]}
    covered = {path for path in paths if any(fnmatch.fnmatch(path, pattern) for pattern in callers)}
    assert paths - covered <= {"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"}
    assert {"/modules", "/backends", "/errors"} <= covered
    assert monitoring == ["/metrics"]
