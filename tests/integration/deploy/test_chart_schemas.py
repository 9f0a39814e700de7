"""The chart's manifests against the schemas of Kubernetes."""

from __future__ import annotations

from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest

from tests.integration.deploy.charts import VALUES, find_manifest, template

#: Custom resources, which have no schema in Kubernetes.
CUSTOM = {"ServiceMonitor"}
#: The oldest version that Chart.yaml allows and the newest with a schema.
VERSIONS = ("1.30.0", kubernetes_validate.latest_version())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", VALUES)
def test_every_manifest_is_valid(name: str, version: str) -> None:
    """Every manifest is valid and has no field that Kubernetes would drop."""
    documents = [document for document in template(VALUES[name]) if document["kind"] not in CUSTOM]
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_invalid_manifest_raises() -> None:
    """The validation is strict: an unknown field is refused."""
    documents = template(VALUES["defaults"])
    deployment: dict[str, Any] = find_manifest(documents, "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("defaults", {"HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget"}),
        ("without autoscaling", {"NetworkPolicy", "PodDisruptionBudget"}),
        ("SQLite", {"NetworkPolicy", "PersistentVolumeClaim"}),
        ("SQLite with an existing claim", {"NetworkPolicy"}),
        ("ServiceMonitor", {"HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "ServiceMonitor"}),
        ("no network policy", {"HorizontalPodAutoscaler", "PodDisruptionBudget"}),
    ],
)
def test_optional_manifests(name: str, kinds: set[str]) -> None:
    """Besides the common manifests there are exactly those that the values enable, one of each kind."""
    rendered = [document["kind"] for document in template(VALUES[name])]
    assert sorted(rendered) == sorted(kinds | {"ConfigMap", "Deployment", "Service", "ServiceAccount"})
