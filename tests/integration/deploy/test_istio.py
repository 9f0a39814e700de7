"""The mesh's resources fit the chart, the server and the API."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest
import yaml

from gateway.api import openapi
from tests.integration.deploy.charts import RELEASE, ROOT, VALUES, only, template
from tests.integration.deploy.conftest import Settings

FOLDER = ROOT / "deploy/mesh/istio"
HOST = f"{RELEASE}.{RELEASE}.svc.cluster.local"


def resource(kind: str) -> dict[str, Any]:
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))]
    return only(documents, kind)


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


def test_they_speak_of_the_charts_service() -> None:
    """The host is the service that a release called as its namespace makes, and the port speaks HTTP."""
    service = only(template(VALUES["Istio"]), "Service")
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
def test_they_are_about_the_charts_pods(kind: str, selector: tuple[str, str]) -> None:
    """Each selector is met by the labels of the chart's pods."""
    labels = only(template(VALUES["Istio"]), "Deployment")["spec"]["template"]["metadata"]["labels"]
    wanted = resource(kind)["spec"][selector[0]][selector[1]]
    assert wanted
    assert wanted.items() <= labels.items()


def test_the_server_never_closes_first(gunicorn_settings: Settings) -> None:
    """Both proxies on the way let go of an idle connection before gunicorn does."""
    outer = resource("DestinationRule")["spec"]["trafficPolicy"]["connectionPool"]["http"]["idleTimeout"]
    inner = resource("Sidecar")["spec"]["inboundConnectionPool"]["http"]["idleTimeout"]
    assert max(seconds(outer), seconds(inner)) < gunicorn_settings["keepalive"]


def test_the_gateway_answers_before_the_proxy_gives_up(deadline_seconds: float) -> None:
    """The routes' timeouts are longer than the deadline at which the gateway says what it knows."""
    for route in resource("VirtualService")["spec"]["http"]:
        assert seconds(route["timeout"]) > deadline_seconds


def test_only_what_is_harmless_is_repeated() -> None:
    """Changes are repeated only where nothing arrived; a 503, which may be a proxy's own, repeats reads and creates."""
    changes, others = resource("VirtualService")["spec"]["http"]
    assert [each["method"] for each in changes["match"]] == [{"exact": "PATCH"}, {"exact": "DELETE"}]
    assert "match" not in others
    assert changes["retries"] == {"attempts": 2, "retryOn": "connect-failure,refused-stream"}
    assert others["retries"] == {"attempts": 2, "retryOn": "connect-failure,refused-stream,503"}


def test_no_answer_takes_a_pod_away() -> None:
    """Only failures of the connection eject: a status speaks of a backend, and every pod would say the same."""
    detection = resource("DestinationRule")["spec"]["trafficPolicy"]["outlierDetection"]
    assert detection["splitExternalLocalOriginErrors"] is True
    assert detection["consecutiveLocalOriginFailures"] > 0
    assert (detection["consecutiveGatewayErrors"], detection["consecutive5xxErrors"]) == (0, 0)
    assert detection["maxEjectionPercent"] < 100


def test_the_mesh_is_the_only_way_in() -> None:
    """Plain connections are refused."""
    assert resource("PeerAuthentication")["spec"]["mtls"] == {"mode": "STRICT"}


def test_the_policy_knows_the_api() -> None:
    """Whoever may call may call every resource; /metrics is for somebody else, the probes need nobody's leave."""
    rules = resource("AuthorizationPolicy")["spec"]["rules"]
    callers, monitoring = ([path for to in rule["to"] for path in to["operation"]["paths"]] for rule in rules)
    wanted = {path.replace("{", "").replace("}", "") for path in openapi.build()["paths"]}
    covered = {path for path in wanted if any(fnmatch.fnmatch(path, pattern) for pattern in callers)}
    assert wanted - covered <= {"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"}
    assert {"/modules", "/backends", "/errors"} <= covered
    assert monitoring == ["/metrics"]
