"""Values that the chart refuses."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from tests.integration.deploy.charts import VALUES, template, values_with
from tests.integration.deploy.template_tree import TemplateError


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
    template(VALUES["SQLite"])
    with pytest.raises(TemplateError, match=message):
        template(values_with("SQLite", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"replicaCount": 3},
        {"replicas": 0},
        {"replicas": "2"},
        {"image": {"version": "1"}},
        {"image": {"digest": "sha256:short"}},
        {"existingSecret": ""},
        {"config": {"auth": {"mode": "none"}}},
        {"config": {"journal": {"path": "x"}}},
        {"config": {"journal": {"url": "postgresql://gateway:written-out@db/gateway"}}},
        {"config": {"limits": {"storage": "redis://:written-out@cache"}}},
        {"config": {"backends": {"cmdb": {"app_secret": "written out"}}}},
        {"config": {"backends": {"projectman": {"secret_key": "written out"}}}},
        {"config": {"backends": {"projectman": {"access_key": "written out"}}}},
        {"config": {"backends": {"projectman": {"password": "written out"}}}},
        {"config": {"backends": {"projectman": {"security_token": "written out"}}}},
        {"config": {"backends": {"Bad Name": {"type": "cmdb"}}}},
        {"autoscaling": {"targetCPUUtilizationPercentage": 0}},
        {"extraEnv": {"A": 1}},
    ],
)
def test_schema_refuses(changes: dict[str, Any]) -> None:
    """The schema refuses unknown, ill-typed and unsafe values, and literal secrets."""
    name = "everything configured"
    template(VALUES[name])
    with pytest.raises(jsonschema.ValidationError):
        template(values_with(name, **changes))
