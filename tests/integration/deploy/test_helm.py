"""Helm renders the chart as the substitute engine does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.deploy import helm
from tests.integration.deploy.charts import VALUES, template, values_with

pytestmark = pytest.mark.skipif(not helm.AVAILABLE, reason="no helm on the PATH, and helm-python-sdk is not installed")


@pytest.mark.parametrize("name", VALUES)
def test_same_manifests(name: str) -> None:
    """For every set of values Helm's manifests equal those of the substitute, including the checksum."""

    def key(document: dict[str, Any]) -> tuple[str, str]:
        return document["kind"], document["metadata"]["name"]

    assert sorted(helm.template(VALUES[name]), key=key) == sorted(template(VALUES[name]), key=key)


@pytest.mark.parametrize("name", VALUES)
def test_lint(name: str) -> None:
    """`helm lint --strict` passes for every set of values."""
    assert helm.lint(VALUES[name]) == []


@pytest.mark.parametrize("changes", [{"replicas": 2}, {"autoscaling": {"enabled": True}}, {"replicaCount": 1}])
def test_same_refusals(changes: dict[str, Any]) -> None:
    """Helm refuses SQLite with several pods, and an unknown value."""
    with pytest.raises(helm.RefusedError):
        helm.template(values_with("SQLite", **changes))
