"""The chart's manifests as Kubernetes sees them."""

from __future__ import annotations

from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it carries no types
import pytest

from tests.integration.deploy.charts import VALUES, template

#: Resources of others; Kubernetes has no schema of them.
FOREIGN = {"ServiceMonitor"}
#: From the oldest that Chart.yaml admits to the newest that there is a schema of.
VERSIONS = ("1.30.0", kubernetes_validate.latest_version())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", VALUES)
def test_kubernetes_takes_every_manifest(name: str, version: str) -> None:
    """Every manifest of every set of values is valid, and has no field that Kubernetes would drop."""
    documents = [document for document in template(VALUES[name]) if document["kind"] not in FOREIGN]
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_wrong_manifest_is_found() -> None:
    """The validation is strict: a field of a wrong name is refused."""
    documents = template(VALUES["defaults"])
    deployment: dict[str, Any] = next(each for each in documents if each["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("defaults", {"HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget"}),
        ("without autoscaling", {"NetworkPolicy", "PodDisruptionBudget"}),
        ("SQLite", {"NetworkPolicy", "PersistentVolumeClaim"}),
        ("SQLite on a claim of one's own", {"NetworkPolicy"}),
        ("ServiceMonitor", {"HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "ServiceMonitor"}),
        ("no network policy", {"HorizontalPodAutoscaler", "PodDisruptionBudget"}),
    ],
)
def test_what_is_asked_for_is_there(name: str, kinds: set[str]) -> None:
    """Beside what every release has, there is what the values ask for and nothing else; one of each kind."""
    found = [document["kind"] for document in template(VALUES[name])]
    assert sorted(found) == sorted(kinds | {"ConfigMap", "Deployment", "Service", "ServiceAccount"})
