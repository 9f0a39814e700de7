"""What Helm does with the chart; skipped without Helm, but for the test that needs none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.deploy.charts import NAMES, RENDERED, render, rendered_file, run_helm, source_line


@pytest.mark.parametrize("name", RENDERED)
def test_checked_in_manifests_are_of_this_chart(name: str) -> None:
    """The chart and the values are those that the checked-in manifests were rendered from."""
    current = rendered_file(name).read_text(encoding="utf-8").startswith(source_line(name))
    assert current, f"{name} is of an older chart; with Helm: python -m tests.integration.deploy.charts"


@pytest.mark.parametrize("name", RENDERED)
def test_checked_in_manifests_are_what_helm_renders(name: str) -> None:
    """Helm renders the checked-in manifests, including the checksum."""
    assert source_line(name) + run_helm("template", name).stdout == rendered_file(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_lint(name: str) -> None:
    """`helm lint --strict` passes for every set of values."""
    process = run_helm("lint", name)
    assert process.returncode == 0, process.stdout + process.stderr


def test_configuration_checksum() -> None:
    """The checksum changes only with the configuration."""

    def checksum(changes: dict[str, Any]) -> str:
        (deployment,) = [document for document in render("defaults", changes) if document["kind"] == "Deployment"]
        annotation: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return annotation

    assert checksum({}) == checksum({"workers": 7})
    assert checksum({}) != checksum({"config": {"server": {"deadline_seconds": 9}}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"replicas": 2}, "set replicas=1"),
        ({"autoscaling": {"enabled": True}}, "autoscaling.enabled=false"),
        ({"autoscaling": {"enabled": True, "maxReplicas": 1}}, "autoscaling.enabled=false"),
        ({"config": {"journal": {"url": "sqlite:///var/journal.db"}}}, "on the persistent volume"),
        ({"config": {"journal": {"url": "sqlite:////tmp/journal.db"}}}, "on the persistent volume"),
        ({"shutdown": {"gracePeriodSeconds": 50}}, "longer than"),
        ({"shutdown": {"preStopSeconds": 20}}, "longer than"),
    ],
)
def test_templates_refuse_inconsistent_values(changes: dict[str, Any], message: str) -> None:
    """SQLite needs one pod and the persistent volume; the grace period must be long enough."""
    process = run_helm("template", "sqlite", changes)
    assert process.returncode != 0
    assert message in process.stderr


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"replicaCount": 3}, "replicaCount"),
        ({"replicas": 0}, "/replicas"),
        ({"replicas": "2"}, "/replicas"),
        ({"image": {"version": "1"}}, "/image"),
        ({"image": {"digest": "sha256:short"}}, "/image/digest"),
        ({"existingSecret": ""}, "/existingSecret"),
        ({"config": {"auth": {"mode": "none"}}}, "/config/auth/mode"),
        ({"config": {"journal": {"path": "x"}}}, "/config/journal"),
        ({"config": {"journal": {"url": "postgresql://gateway:written-out@db/gateway"}}}, "/config/journal/url"),
        ({"config": {"limits": {"storage": "redis://:written-out@cache"}}}, "/config/limits/storage"),
        ({"config": {"backends": {"cmdb": {"app_secret": "written out"}}}}, "/config/backends/cmdb/app_secret"),
        ({"config": {"backends": {"projectman": {"secret_key": "written out"}}}}, "/projectman/secret_key"),
        ({"config": {"backends": {"projectman": {"access_key": "written out"}}}}, "/projectman/access_key"),
        ({"config": {"backends": {"projectman": {"password": "written out"}}}}, "/projectman/password"),
        ({"config": {"backends": {"projectman": {"security_token": "written out"}}}}, "/projectman/security_token"),
        ({"config": {"backends": {"Bad Name": {"type": "cmdb"}}}}, "propertyName 'Bad Name'"),
        ({"autoscaling": {"targetCPUUtilizationPercentage": 0}}, "/autoscaling/targetCPUUtilizationPercentage"),
        ({"extraEnv": {"A": 1}}, "/extraEnv/A"),
    ],
)
def test_schema_refuses(changes: dict[str, Any], place: str) -> None:
    """The schema refuses unknown, ill-typed and unsafe values, and literal secrets."""
    process = run_helm("template", "postgresql", changes)
    assert process.returncode != 0
    assert "specifications of the schema" in process.stderr
    assert place in process.stderr
