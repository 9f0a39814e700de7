"""The chart as Helm itself renders it: as the stand-in does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.deploy import helm
from tests.integration.deploy.charts import VALUES, changed, template

pytestmark = pytest.mark.skipif(not helm.THERE, reason="no helm on the PATH, and helm-python-sdk is not installed")


@pytest.mark.parametrize("name", VALUES)
def test_helm_renders_what_the_stand_in_renders(name: str) -> None:
    """For every set of values Helm's manifests equal ours, the checksum of the configuration among them."""

    def key(document: dict[str, Any]) -> tuple[str, str]:
        return document["kind"], document["metadata"]["name"]

    assert sorted(helm.template(VALUES[name]), key=key) == sorted(template(VALUES[name]), key=key)


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_nothing_to_complain_about(name: str) -> None:
    """`helm lint --strict` passes for every set of values."""
    assert helm.lint(VALUES[name]) == []


@pytest.mark.parametrize("changes", [{"replicas": 2}, {"autoscaling": {"enabled": True}}, {"replicaCount": 1}])
def test_helm_refuses_what_the_stand_in_refuses(changes: dict[str, Any]) -> None:
    """SQLite for several pods, and a value that nobody knows."""
    with pytest.raises(helm.RefusedError):
        helm.template(changed("SQLite", **changes))
